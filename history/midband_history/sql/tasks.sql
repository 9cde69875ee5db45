-- The tasks of one benchmark with the versions under which each content was run, and when last.
SELECT
    tasks.task_id, tasks.name, tasks.digest, coalesce(used.version, '') AS version,
    coalesce(used.whole, false) AS whole, used.started
FROM tasks
LEFT JOIN (
    SELECT
        outcomes.task_id, runs.version, bool_or(runs.whole) AS whole, max(runs.started) AS started
    FROM outcomes JOIN runs USING (run_id)
    WHERE runs.benchmark_id = $benchmark_id
        AND (CAST($as_of AS TIMESTAMP) IS NULL OR runs.started <= CAST($as_of AS TIMESTAMP))
    GROUP BY outcomes.task_id, runs.version
) AS used USING (task_id)
WHERE tasks.benchmark_id = $benchmark_id
ORDER BY tasks.name, used.started NULLS FIRST, tasks.task_id;
