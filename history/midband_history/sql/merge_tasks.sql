-- Tasks of one benchmark become those of another; the same content becomes one task.
CREATE OR REPLACE TEMP TABLE moved_tasks AS
SELECT theirs.task_id AS old, ours.task_id AS new
FROM tasks AS theirs
JOIN tasks AS ours ON ours.name = theirs.name AND ours.digest = theirs.digest
WHERE theirs.benchmark_id = $old AND ours.benchmark_id = $new;
UPDATE outcomes SET task_id = moved_tasks.new FROM moved_tasks
WHERE outcomes.task_id = moved_tasks.old;
DELETE FROM tasks WHERE task_id IN (SELECT old FROM moved_tasks);
UPDATE tasks SET benchmark_id = $new WHERE benchmark_id = $old;
DROP TABLE moved_tasks;
