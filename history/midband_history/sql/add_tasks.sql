INSERT INTO tasks
SELECT
    (SELECT coalesce(max(task_id), 0) FROM tasks)
        + row_number() OVER (ORDER BY benchmark_id, name, digest),
    benchmark_id, name, digest, part
FROM (
    SELECT benchmark_id, task_id AS name, task_digest AS digest, max(part) AS part
    FROM incoming JOIN benchmarks ON benchmarks.name = incoming.benchmark
    GROUP BY benchmark_id, task_id, task_digest
) AS found
ANTI JOIN tasks USING (benchmark_id, name, digest);
