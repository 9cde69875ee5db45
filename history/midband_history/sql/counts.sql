-- What the rows of each source are, by benchmark, agent and metric.
SELECT
    source_id, benchmarks.name AS benchmark, resolved.agent_id, metrics.name, metrics.key,
    count(*) FILTER (WHERE kind = 0) AS valid,
    count(*) FILTER (WHERE kind = 0 AND passed) AS passed,
    count(*) FILTER (WHERE kind IN (1, 2, 3)) AS errors,
    count(*) FILTER (WHERE kind = 4) AS unscored,
    count(*) FILTER (
        WHERE kind = 0 AND (score < metrics.low - 1e-9 OR score > metrics.high + 1e-9)
    ) AS out_of_range
FROM resolved
JOIN metrics USING (metric_id)
JOIN benchmarks USING (benchmark_id)
GROUP BY ALL
ORDER BY source_id, benchmark, resolved.agent_id;
