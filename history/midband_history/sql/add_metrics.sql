INSERT INTO metrics
SELECT
    (SELECT coalesce(max(metric_id), 0) FROM metrics)
        + row_number() OVER (ORDER BY benchmark_id, name, key),
    benchmark_id, name, key, low, high, lower_is_better, declared, NULL, NULL
FROM (
    -- Of several statements about one metric the person's counts, then the first source's.
    SELECT
        benchmark_id, incoming_metrics.name, incoming_metrics.key,
        first(COLUMNS(['low', 'high', 'lower_is_better', 'declared'])
            ORDER BY declared = 'user' DESC, declared = 'source' DESC, place)
    FROM (
        SELECT benchmark, metric, min(incoming.rowid) AS place FROM incoming GROUP BY ALL
    ) AS used
    JOIN incoming_metrics USING (metric)
    JOIN benchmarks ON benchmarks.name = used.benchmark
    GROUP BY benchmark_id, incoming_metrics.name, incoming_metrics.key
) AS found
ANTI JOIN metrics USING (benchmark_id, name, key);
