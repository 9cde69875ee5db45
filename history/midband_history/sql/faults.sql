-- What must not be in a history, each with how often it is.
SELECT 'attempts held twice' AS fault, count(*) AS number
FROM (SELECT key, metric_id FROM outcomes GROUP BY ALL HAVING count(*) > 1)
UNION ALL
SELECT 'attempts of a run that is not there', count(*) FROM outcomes ANTI JOIN runs USING (run_id)
UNION ALL
SELECT 'attempts at a task that is not there', count(*)
FROM outcomes ANTI JOIN tasks USING (task_id)
UNION ALL
SELECT 'attempts by an agent that is not there', count(*)
FROM outcomes ANTI JOIN agents USING (agent_id)
UNION ALL
SELECT 'attempts by a metric that is not there', count(*)
FROM outcomes ANTI JOIN metrics USING (metric_id)
UNION ALL
SELECT 'valid attempts without a score', count(*)
FROM outcomes WHERE kind = 0 AND (score IS NULL OR isnan(score))
UNION ALL
SELECT 'attempts with a score though they are not valid', count(*)
FROM outcomes WHERE kind <> 0 AND score IS NOT NULL
UNION ALL
SELECT 'attempts at a task of another benchmark than their run', count(*)
FROM outcomes
JOIN runs USING (run_id)
JOIN tasks ON tasks.task_id = outcomes.task_id
WHERE tasks.benchmark_id <> runs.benchmark_id;
