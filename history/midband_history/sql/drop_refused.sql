-- Benchmarks and metrics that only sources that were refused have named.
DELETE FROM metrics
WHERE metric_id > $metric AND metric_id NOT IN (SELECT metric_id FROM resolved);
DELETE FROM benchmarks
WHERE benchmark_id > $benchmark
    AND benchmark_id NOT IN (SELECT benchmark_id FROM metrics);
