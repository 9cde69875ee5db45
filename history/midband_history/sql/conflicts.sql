-- Attempts of each source that are held with another result; run after `add_outcomes`.
SELECT
    resolved.source_id,
    count(*) AS conflicts,
    first(benchmarks.name || '/' || tasks.name || ' by ' || label || ', attempt ' || resolved.attempt
        ORDER BY place) AS example
FROM resolved
JOIN outcomes USING (key)
JOIN tasks ON tasks.task_id = resolved.task_id
JOIN benchmarks USING (benchmark_id)
JOIN agents ON agents.agent_id = resolved.agent_id
WHERE resolved.kind <> outcomes.kind OR resolved.score IS DISTINCT FROM outcomes.score
GROUP BY resolved.source_id;
