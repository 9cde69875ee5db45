-- The tasks of one benchmark with the date when each content was last run, newest content last.
SELECT tasks.task_id, tasks.name, tasks.digest
FROM tasks
LEFT JOIN (
    SELECT outcomes.task_id, max(runs.started) AS started
    FROM outcomes JOIN runs USING (run_id)
    WHERE runs.benchmark_id = $benchmark_id
        AND (CAST($as_of AS TIMESTAMP) IS NULL OR runs.started <= CAST($as_of AS TIMESTAMP))
    GROUP BY outcomes.task_id
) AS used USING (task_id)
WHERE tasks.benchmark_id = $benchmark_id
ORDER BY tasks.name, used.started NULLS FIRST, tasks.task_id;
