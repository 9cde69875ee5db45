-- Runs and benchmarks of which nothing is left.
DELETE FROM runs WHERE run_id NOT IN (SELECT run_id FROM outcomes);
DELETE FROM tasks WHERE task_id NOT IN (SELECT task_id FROM outcomes);
DELETE FROM agents WHERE agent_id NOT IN (SELECT agent_id FROM runs);
DELETE FROM metrics
WHERE metric_id NOT IN (SELECT metric_id FROM outcomes)
    AND seen_low IS NULL AND declared <> 'user';
DELETE FROM benchmarks
WHERE benchmark_id NOT IN (SELECT benchmark_id FROM runs)
    AND benchmark_id NOT IN (SELECT benchmark_id FROM metrics);
