SELECT
    count(*) FILTER (WHERE started > CAST($as_of AS TIMESTAMP)) AS later,
    count(*) FILTER (WHERE started IS NULL) AS undated,
    count(*) FILTER (WHERE started <= CAST($as_of AS TIMESTAMP)) AS kept
FROM runs
WHERE benchmark_id = $benchmark_id;
