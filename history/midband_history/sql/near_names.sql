-- Tasks of one benchmark whose ids differ as `1` and `1.0` do, where this file holds one of them.
WITH arrived AS (
    SELECT DISTINCT benchmark, task_id FROM incoming
),
known AS (
    FROM arrived
    UNION
    SELECT benchmarks.name, tasks.name
    FROM tasks JOIN benchmarks USING (benchmark_id)
    WHERE benchmarks.name IN (SELECT benchmark FROM arrived)
),
pairs AS (
    SELECT benchmark, regexp_replace(task_id, '\.0+$', '') AS whole, task_id AS point
    FROM known
    WHERE regexp_full_match(task_id, '-?\d+\.0+')
)
SELECT pairs.benchmark, whole, point
FROM pairs
JOIN known ON known.benchmark = pairs.benchmark AND known.task_id = whole
WHERE (pairs.benchmark, whole) IN (FROM arrived) OR (pairs.benchmark, point) IN (FROM arrived)
ORDER BY ALL;
