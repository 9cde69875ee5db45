-- Statements that join benchmarks and metrics, and that remove attempts.

-- name: merge_tasks
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

-- name: merge_metrics
CREATE OR REPLACE TEMP TABLE moved_metrics AS
SELECT theirs.metric_id AS old, ours.metric_id AS new
FROM metrics AS theirs
JOIN metrics AS ours ON ours.name = theirs.name AND ours.key = theirs.key
WHERE theirs.benchmark_id = $old AND ours.benchmark_id = $new;
UPDATE outcomes SET metric_id = moved_metrics.new FROM moved_metrics
WHERE outcomes.metric_id = moved_metrics.old;
UPDATE metrics
SET seen_low = least(metrics.seen_low, theirs.seen_low),
    seen_high = greatest(metrics.seen_high, theirs.seen_high),
    low = CASE WHEN metrics.declared = '' THEN theirs.low ELSE metrics.low END,
    high = CASE WHEN metrics.declared = '' THEN theirs.high ELSE metrics.high END,
    declared = CASE WHEN metrics.declared = '' THEN theirs.declared ELSE metrics.declared END
FROM moved_metrics JOIN metrics AS theirs ON theirs.metric_id = moved_metrics.old
WHERE metrics.metric_id = moved_metrics.new;
DELETE FROM metrics WHERE metric_id IN (SELECT old FROM moved_metrics);
UPDATE metrics SET benchmark_id = $new WHERE benchmark_id = $old;
DROP TABLE moved_metrics;

-- name: merge_runs
-- A run that both benchmarks know under one name and date becomes one run.
CREATE OR REPLACE TEMP TABLE moved_runs AS
SELECT theirs.run_id AS old, min(ours.run_id) AS new
FROM runs AS theirs
JOIN runs AS ours ON
    ours.agent_id = theirs.agent_id AND ours.name = theirs.name
    AND ours.started IS NOT DISTINCT FROM theirs.started
WHERE theirs.benchmark_id = $old AND ours.benchmark_id = $new
GROUP BY theirs.run_id;
UPDATE outcomes SET run_id = moved_runs.new FROM moved_runs
WHERE outcomes.run_id = moved_runs.old;
DELETE FROM runs WHERE run_id IN (SELECT old FROM moved_runs);
UPDATE runs SET benchmark_id = $new WHERE benchmark_id = $old;
DROP TABLE moved_runs;

-- name: join_metrics
-- Attempts that are held by both metrics stay with the named one.
DELETE FROM outcomes
WHERE metric_id = $old AND key IN (SELECT key FROM outcomes WHERE metric_id = $new);
-- What is stated and seen of either holds for both.
UPDATE metrics
SET seen_low = least(metrics.seen_low, other.seen_low),
    seen_high = greatest(metrics.seen_high, other.seen_high),
    low = CASE WHEN metrics.declared = '' THEN other.low ELSE metrics.low END,
    high = CASE WHEN metrics.declared = '' THEN other.high ELSE metrics.high END,
    declared = CASE WHEN metrics.declared = '' THEN other.declared ELSE metrics.declared END
FROM metrics AS other
WHERE other.metric_id = $old AND metrics.metric_id = $new;
UPDATE outcomes SET metric_id = $new WHERE metric_id = $old;
DELETE FROM metrics WHERE metric_id = $old;

-- name: forget_outcomes
CREATE OR REPLACE TEMP TABLE taken_away AS
SELECT outcomes.metric_id, outcomes.score
FROM outcomes JOIN forgotten USING (run_id, source_id);
DELETE FROM outcomes
USING forgotten
WHERE outcomes.run_id = forgotten.run_id AND outcomes.source_id = forgotten.source_id;

-- name: forget_sources
-- A source of which something was removed is no longer known, so that it can be imported again. Nor
-- are sources that may hold the same attempts and were passed over for it: those of which nothing is
-- left, and those with results of the same agents. Read again, these replace what they gave. What
-- midband 0.1 has read is read anew at any rate, and is found by its digest then.
UPDATE sources SET digest = ''
WHERE source_id < $first AND (
    source_id NOT IN (SELECT source_id FROM outcomes)
    OR (content <> '' AND source_id IN (
        SELECT source_id FROM forgotten
        UNION ALL
        SELECT outcomes.source_id FROM outcomes JOIN runs USING (run_id)
        WHERE runs.agent_id IN (
            SELECT agent_id FROM runs WHERE run_id IN (SELECT run_id FROM forgotten)))));
