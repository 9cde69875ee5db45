-- Attempts of each source that are held with another result; run after `add_outcomes`.
-- One that was scored before the result that is held has simply been superseded.
SELECT
    resolved.source_id,
    count(*) AS conflicts,
    first(benchmarks.name || '/' || tasks.name || ' by ' || agents.name || ', attempt '
        || resolved.attempt ORDER BY place) AS example
FROM resolved
JOIN outcomes USING (key, metric_id)
JOIN tasks ON tasks.task_id = resolved.task_id
JOIN benchmarks USING (benchmark_id)
JOIN agents ON agents.agent_id = resolved.agent_id
WHERE (resolved.kind <> outcomes.kind OR resolved.score IS DISTINCT FROM outcomes.score)
    AND NOT coalesce(outcomes.scored > resolved.scored, outcomes.scored IS NOT NULL)
GROUP BY resolved.source_id;
