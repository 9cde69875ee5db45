-- Attempts of each source that are held with another result; run after `add_outcomes`.
SELECT
    resolved.source_id,
    count(*) AS conflicts,
    first(benchmark_name || '/' || task_name || ' by ' || label || ', attempt ' || resolved.attempt
        ORDER BY place) AS example
FROM resolved
JOIN outcomes USING (key)
WHERE resolved.kind <> outcomes.kind OR resolved.score IS DISTINCT FROM outcomes.score
GROUP BY resolved.source_id;
