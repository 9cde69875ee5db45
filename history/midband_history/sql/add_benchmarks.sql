INSERT INTO benchmarks
SELECT
    (SELECT coalesce(max(benchmark_id), 0) FROM benchmarks) + row_number() OVER (ORDER BY name),
    name
FROM (SELECT DISTINCT benchmark AS name FROM incoming)
WHERE name NOT IN (SELECT name FROM benchmarks);
