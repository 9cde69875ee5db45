-- Sources that give the id of a task to the task of another part of the same benchmark.
WITH named AS (
    SELECT benchmarks.name AS benchmark, tasks.name AS task_id, tasks.digest, tasks.part,
        -1 AS place, any_value(sources.name) AS source
    FROM tasks
    JOIN benchmarks USING (benchmark_id)
    JOIN outcomes USING (task_id)
    JOIN sources USING (source_id)
    WHERE tasks.part <> '' AND benchmarks.name IN (SELECT benchmark FROM incoming)
    GROUP BY ALL
    UNION ALL
    SELECT benchmark, task_id, task_digest, part, source_id, any_value(sources.name)
    FROM incoming JOIN sources USING (source_id)
    WHERE part <> ''
    GROUP BY ALL
),
owner AS (
    SELECT benchmark, task_id, arg_min(part, place) AS part, arg_min(source, place) AS source,
        arg_min(digest, place) AS digest
    FROM named GROUP BY benchmark, task_id
)
SELECT
    incoming.source_id, first(incoming.benchmark ORDER BY incoming.rowid),
    first(incoming.task_id ORDER BY incoming.rowid), first(incoming.part ORDER BY incoming.rowid),
    first(owner.part ORDER BY incoming.rowid), first(owner.source ORDER BY incoming.rowid)
FROM incoming
JOIN owner USING (benchmark, task_id)
WHERE incoming.part <> '' AND incoming.part <> owner.part
    AND NOT (incoming.task_digest <> '' AND incoming.task_digest = owner.digest)
GROUP BY incoming.source_id
ORDER BY incoming.source_id;
