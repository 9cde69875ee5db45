-- Every attempt behind the number of one task, with where it comes from.
SELECT
    outcomes.agent_id, tasks.name AS task, tasks.digest, tasks.part, metrics.name AS metric,
    metrics.key,
    outcomes.kind, outcomes.score, outcomes.attempt, runs.name AS run, runs.harness,
    runs.harness_version, runs.version, runs.started, outcomes.scored, sources.name AS source,
    sources.added_at, sources.reader, sources.reader_version, sources.options, sources.notes
FROM outcomes
JOIN runs USING (run_id)
JOIN tasks ON tasks.task_id = outcomes.task_id
JOIN metrics USING (metric_id)
LEFT JOIN sources USING (source_id)
WHERE runs.benchmark_id = $benchmark_id AND tasks.name = $task
ORDER BY outcomes.agent_id, runs.started NULLS LAST, runs.name, outcomes.attempt, outcomes.key;
