-- Which stored metric each incoming metric of each benchmark is.
CREATE OR REPLACE TEMP TABLE numbered_metrics AS
SELECT benchmarks.benchmark_id, used.metric, metrics.metric_id
FROM (SELECT DISTINCT benchmark, metric FROM incoming) AS used
JOIN incoming_metrics USING (metric)
JOIN benchmarks ON benchmarks.name = used.benchmark
JOIN metrics ON
    metrics.benchmark_id = benchmarks.benchmark_id
    AND metrics.name = incoming_metrics.name AND metrics.key = incoming_metrics.key;
