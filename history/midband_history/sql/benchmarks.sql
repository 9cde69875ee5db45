WITH per_run AS (
    SELECT
        runs.run_id, any_value(runs.benchmark_id) AS benchmark_id,
        any_value(runs.agent_id) AS agent_id, any_value(runs.started) AS started,
        coalesce(any_value(runs.cost_usd), sum(outcomes.cost_usd)) AS cost_usd,
        count(*) AS attempts
    FROM runs JOIN outcomes USING (run_id)
    GROUP BY runs.run_id
)
SELECT
    benchmarks.name, any_value(counts.tasks) AS tasks, count(DISTINCT agent_id) AS agents,
    CAST(sum(attempts) AS BIGINT) AS attempts, min(started) AS first, max(started) AS last,
    CAST(coalesce(sum(cost_usd), 'nan') AS DOUBLE) AS cost_usd
FROM benchmarks
JOIN per_run USING (benchmark_id)
JOIN (
    SELECT benchmark_id, count(DISTINCT name) AS tasks FROM tasks GROUP BY benchmark_id
) AS counts USING (benchmark_id)
GROUP BY benchmarks.name
ORDER BY benchmarks.name;
