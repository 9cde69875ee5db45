INSERT INTO tasks
SELECT
    (SELECT coalesce(max(task_id), 0) FROM tasks)
        + row_number() OVER (ORDER BY benchmark_id, name, digest),
    benchmark_id, name, digest
FROM (
    SELECT DISTINCT benchmark_id, task_id AS name, task_digest AS digest
    FROM incoming JOIN benchmarks ON benchmarks.name = incoming.benchmark
) AS found
ANTI JOIN tasks USING (benchmark_id, name, digest);
