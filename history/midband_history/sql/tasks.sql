-- The tasks of one benchmark with the versions under which each content was run, and when last.
-- Runs that began at one time are ordered by who ran and their names, never by order of import.
WITH ordered AS (
    SELECT
        runs.run_id, runs.version, runs.whole, runs.started,
        row_number() OVER (
            ORDER BY
                runs.started NULLS FIRST, agents.name, agents.model, agents.scaffold,
                agents.version, agents.settings, runs.name
        ) AS nth
    FROM runs JOIN agents USING (agent_id)
    WHERE runs.benchmark_id = $benchmark_id
        AND (CAST($as_of AS TIMESTAMP) IS NULL OR runs.started <= CAST($as_of AS TIMESTAMP))
)
SELECT
    tasks.task_id, tasks.name, tasks.digest, coalesce(used.version, '') AS version,
    coalesce(used.whole, false) AS whole, used.started, coalesce(used.nth, 0) AS nth
FROM tasks
LEFT JOIN (
    SELECT
        outcomes.task_id, ordered.version, bool_or(ordered.whole) AS whole,
        max(ordered.started) AS started, max(ordered.nth) AS nth
    FROM outcomes JOIN ordered USING (run_id)
    GROUP BY outcomes.task_id, ordered.version
) AS used USING (task_id)
WHERE tasks.benchmark_id = $benchmark_id
ORDER BY tasks.name, nth, tasks.digest;
