-- What is stated about the scale of a held metric replaces an assumption; a person's word, all.
UPDATE metrics
SET low = found.low, high = found.high, lower_is_better = found.lower_is_better,
    declared = found.declared
FROM (
    SELECT
        benchmark_id, incoming_metrics.name, incoming_metrics.key,
        first(COLUMNS(['low', 'high', 'lower_is_better', 'declared'])
            ORDER BY declared = 'user' DESC, place)
    FROM (
        SELECT benchmark, metric, min(incoming.rowid) AS place FROM incoming GROUP BY ALL
    ) AS used
    JOIN incoming_metrics USING (metric)
    JOIN benchmarks ON benchmarks.name = used.benchmark
    WHERE declared <> ''
    GROUP BY benchmark_id, incoming_metrics.name, incoming_metrics.key
) AS found
WHERE metrics.benchmark_id = found.benchmark_id
    AND metrics.name = found.name AND metrics.key = found.key
    AND (metrics.declared = '' OR found.declared = 'user');
