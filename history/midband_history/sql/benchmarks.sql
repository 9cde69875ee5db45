-- One attempt may be held under several metrics; it counts once.
WITH per_metric AS (
    SELECT
        run_id, metric_id, sum(cost_usd) AS cost_usd, count(*) AS attempts,
        count(*) FILTER (WHERE kind <> 0) AS without_score
    FROM outcomes GROUP BY run_id, metric_id
),
per_run AS (
    SELECT
        runs.run_id, any_value(runs.benchmark_id) AS benchmark_id,
        any_value(runs.agent_id) AS agent_id, any_value(runs.started) AS started,
        coalesce(any_value(runs.cost_usd), max(per_metric.cost_usd)) AS cost_usd,
        max(attempts) AS attempts, max(without_score) AS without_score
    FROM runs JOIN per_metric USING (run_id)
    GROUP BY runs.run_id
)
SELECT
    benchmarks.name, any_value(counts.tasks) AS tasks, count(DISTINCT agent_id) AS agents,
    CAST(sum(attempts) AS BIGINT) AS attempts, min(started) AS first, max(started) AS last,
    CAST(coalesce(sum(cost_usd), 'nan') AS DOUBLE) AS cost_usd,
    CAST(sum(without_score) AS BIGINT) AS without_score
FROM benchmarks
JOIN per_run USING (benchmark_id)
JOIN (
    SELECT benchmark_id, count(DISTINCT name) AS tasks FROM tasks GROUP BY benchmark_id
) AS counts USING (benchmark_id)
GROUP BY benchmarks.name
ORDER BY benchmarks.name;
