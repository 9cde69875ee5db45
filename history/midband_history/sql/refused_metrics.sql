-- Sources whose metric contradicts what is stated about it: another scale or direction, or a value
-- outside the stated scale.
SELECT
    source_id, benchmark, metrics.name, metrics.key, metrics.low, metrics.high,
    metrics.lower_is_better, metrics.declared,
    any_value(said.low) AS said_low, any_value(said.high) AS said_high,
    any_value(said.lower_is_better) AS said_lower, any_value(said.declared) AS said_declared,
    min(score) AS seen_low, max(score) AS seen_high
FROM incoming
JOIN incoming_metrics AS said USING (metric)
JOIN benchmarks ON benchmarks.name = incoming.benchmark
JOIN metrics ON
    metrics.benchmark_id = benchmarks.benchmark_id
    AND metrics.name = said.name AND metrics.key = said.key
GROUP BY ALL
HAVING
    bool_or(said.declared <> '' AND (said.low <> metrics.low OR said.high <> metrics.high))
    OR bool_or(said.lower_is_better <> metrics.lower_is_better AND metrics.declared <> 'user')
    OR (metrics.declared <> '' AND NOT coalesce(
        min(score) >= metrics.low - 1e-9 * (metrics.high - metrics.low)
        AND max(score) <= metrics.high + 1e-9 * (metrics.high - metrics.low), true))
ORDER BY source_id;
