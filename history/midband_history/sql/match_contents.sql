-- A task that is called by its digest has no id of its own: it is the task of that content, where
-- one is known by an id, in the store or among the rows that come in.
CREATE OR REPLACE TEMP TABLE named_contents AS
SELECT benchmark, digest, min(name) AS name
FROM (
    SELECT benchmarks.name AS benchmark, tasks.digest, tasks.name
    FROM tasks JOIN benchmarks USING (benchmark_id)
    WHERE tasks.digest <> '' AND tasks.name <> tasks.digest
    UNION
    SELECT benchmark, task_digest, task_id FROM incoming
    WHERE task_digest <> '' AND task_id <> task_digest
) AS by_id
SEMI JOIN (
    SELECT benchmarks.name AS benchmark, tasks.digest
    FROM tasks JOIN benchmarks USING (benchmark_id)
    WHERE tasks.name = tasks.digest
    UNION ALL
    SELECT benchmark, task_digest FROM incoming WHERE task_id = task_digest
) AS by_content USING (benchmark, digest)
GROUP BY benchmark, digest
HAVING count(DISTINCT name) = 1;

UPDATE incoming SET task_id = named_contents.name
FROM named_contents
WHERE incoming.benchmark = named_contents.benchmark
    AND incoming.task_digest = named_contents.digest
    AND incoming.task_id = incoming.task_digest;

UPDATE tasks SET name = named_contents.name
FROM named_contents JOIN benchmarks ON benchmarks.name = named_contents.benchmark
WHERE tasks.benchmark_id = benchmarks.benchmark_id
    AND tasks.digest = named_contents.digest AND tasks.name = tasks.digest
    AND NOT EXISTS (
        SELECT 1 FROM tasks AS known
        WHERE known.benchmark_id = benchmarks.benchmark_id
            AND known.digest = named_contents.digest AND known.name = named_contents.name
    );
DROP TABLE named_contents;
