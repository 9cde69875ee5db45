-- The metrics of one benchmark by which there is a result, or of which something was stated.
SELECT
    metrics.metric_id, metrics.name, metrics.key, metrics.low, metrics.high,
    metrics.lower_is_better, metrics.declared,
    CAST(coalesce(found.agents, 0) AS BIGINT), CAST(coalesce(found.scored, 0) AS BIGINT),
    CAST(coalesce(found.attempts, 0) AS BIGINT),
    CAST(coalesce(metrics.seen_low, 'nan') AS DOUBLE),
    CAST(coalesce(metrics.seen_high, 'nan') AS DOUBLE)
FROM metrics
LEFT JOIN (
    SELECT
        outcomes.metric_id,
        count(DISTINCT outcomes.agent_id) FILTER (WHERE outcomes.kind = 0) AS agents,
        count(*) FILTER (WHERE outcomes.kind = 0) AS scored, count(*) AS attempts
    FROM outcomes
    WHERE outcomes.metric_id IN (
        SELECT metric_id FROM metrics WHERE benchmark_id = $benchmark_id)
    GROUP BY outcomes.metric_id
) AS found USING (metric_id)
WHERE metrics.benchmark_id = $benchmark_id
ORDER BY metrics.name, metrics.key;
