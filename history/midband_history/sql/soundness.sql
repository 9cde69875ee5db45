-- Statements that look for what must not be in a history, and that put it right.

-- name: faults
-- What must not be in a history, each with how often it is.
SELECT 'attempts held twice' AS fault, count(*) AS number
FROM (SELECT key, metric_id FROM outcomes GROUP BY ALL HAVING count(*) > 1)
UNION ALL
SELECT 'attempts of a run that is not there', count(*) FROM outcomes ANTI JOIN runs USING (run_id)
UNION ALL
SELECT 'attempts at a task that is not there', count(*)
FROM outcomes ANTI JOIN tasks USING (task_id)
UNION ALL
SELECT 'attempts by an agent that is not there', count(*)
FROM outcomes ANTI JOIN agents USING (agent_id)
UNION ALL
SELECT 'attempts by a metric that is not there', count(*)
FROM outcomes ANTI JOIN metrics USING (metric_id)
UNION ALL
SELECT 'attempts from a source that is not there', count(*)
FROM outcomes ANTI JOIN sources USING (source_id)
UNION ALL
SELECT 'runs of a benchmark that is not there', count(*)
FROM runs ANTI JOIN benchmarks USING (benchmark_id)
UNION ALL
SELECT 'runs by an agent that is not there', count(*) FROM runs ANTI JOIN agents USING (agent_id)
UNION ALL
SELECT 'tasks of a benchmark that is not there', count(*)
FROM tasks ANTI JOIN benchmarks USING (benchmark_id)
UNION ALL
SELECT 'metrics of a benchmark that is not there', count(*)
FROM metrics ANTI JOIN benchmarks USING (benchmark_id)
UNION ALL
SELECT 'attempts by another agent than their run', count(*)
FROM outcomes JOIN runs USING (run_id) WHERE outcomes.agent_id <> runs.agent_id
UNION ALL
SELECT 'attempts at a task of another benchmark than their run', count(*)
FROM outcomes
JOIN runs USING (run_id)
JOIN tasks ON tasks.task_id = outcomes.task_id
WHERE tasks.benchmark_id <> runs.benchmark_id
UNION ALL
SELECT 'attempts by a metric of another benchmark than their run', count(*)
FROM outcomes
JOIN runs USING (run_id)
JOIN metrics ON metrics.metric_id = outcomes.metric_id
WHERE metrics.benchmark_id <> runs.benchmark_id
UNION ALL
SELECT 'attempts of an unknown kind', count(*) FROM outcomes WHERE kind NOT BETWEEN 0 AND 4
UNION ALL
SELECT 'valid attempts without a score', count(*)
FROM outcomes WHERE kind = 0 AND (score IS NULL OR NOT isfinite(score))
UNION ALL
SELECT 'attempts with a score though they are not valid', count(*)
FROM outcomes WHERE kind <> 0 AND score IS NOT NULL
UNION ALL
SELECT 'attempts with a number below 0', count(*) FROM outcomes WHERE attempt < 0
UNION ALL
SELECT 'attempts with a cost, tokens or a duration below 0 or infinite', count(*)
FROM outcomes
WHERE NOT coalesce(
    (cost_usd IS NULL OR (isfinite(cost_usd) AND cost_usd >= 0))
    AND (tokens IS NULL OR (isfinite(tokens) AND tokens >= 0))
    AND (duration_s IS NULL OR (isfinite(duration_s) AND duration_s >= 0)), true)
UNION ALL
SELECT 'metrics with scores outside the range in which they were seen', count(*)
FROM (
    SELECT metric_id, min(score) AS low, max(score) AS high
    FROM outcomes WHERE score IS NOT NULL GROUP BY metric_id
) AS found
JOIN metrics USING (metric_id)
WHERE seen_low IS NULL OR seen_high IS NULL OR seen_low > found.low OR seen_high < found.high
UNION ALL
SELECT 'metrics whose scale is empty', count(*) FROM metrics WHERE NOT low < high
UNION ALL
SELECT 'agents with the id of another', coalesce(sum(number), 0)
FROM (SELECT count(*) - 1 AS number FROM agents GROUP BY agent_id)
UNION ALL
SELECT 'tasks with the id of another', coalesce(sum(number), 0)
FROM (SELECT count(*) - 1 AS number FROM tasks GROUP BY task_id)
UNION ALL
SELECT 'runs with the id of another', coalesce(sum(number), 0)
FROM (SELECT count(*) - 1 AS number FROM runs GROUP BY run_id)
UNION ALL
SELECT 'benchmarks with the id of another', coalesce(sum(number), 0)
FROM (SELECT count(*) - 1 AS number FROM benchmarks GROUP BY benchmark_id)
UNION ALL
SELECT 'metrics with the id of another', coalesce(sum(number), 0)
FROM (SELECT count(*) - 1 AS number FROM metrics GROUP BY metric_id)
UNION ALL
SELECT 'sources with the id of another', coalesce(sum(number), 0)
FROM (SELECT count(*) - 1 AS number FROM sources GROUP BY source_id)
UNION ALL
SELECT 'agents that are there under another id', coalesce(sum(number), 0)
FROM (
    SELECT count(DISTINCT agent_id) - 1 AS number
    FROM agents GROUP BY name, model, scaffold, version, settings)
UNION ALL
SELECT 'tasks that are there under another id', coalesce(sum(number), 0)
FROM (
    SELECT count(DISTINCT task_id) - 1 AS number
    FROM tasks GROUP BY benchmark_id, name, digest)
UNION ALL
SELECT 'runs that are there under another id', coalesce(sum(number), 0)
FROM (
    SELECT count(DISTINCT run_id) - 1 AS number
    FROM runs GROUP BY benchmark_id, agent_id, name, started)
UNION ALL
SELECT 'benchmarks that are there under another id', coalesce(sum(number), 0)
FROM (SELECT count(DISTINCT benchmark_id) - 1 AS number FROM benchmarks GROUP BY name)
UNION ALL
SELECT 'metrics that are there under another id', coalesce(sum(number), 0)
FROM (
    SELECT count(DISTINCT metric_id) - 1 AS number
    FROM metrics GROUP BY benchmark_id, name, key)
UNION ALL
SELECT 'names that are an alias of two', coalesce(sum(number), 0)
FROM (SELECT count(DISTINCT name) - 1 AS number FROM aliases GROUP BY what, alias);

-- name: orphans
-- Rows that nothing refers to: they change no score, but tasks and runs among them are counted.
SELECT 'runs' AS fault, count(*) AS number FROM runs ANTI JOIN outcomes USING (run_id)
UNION ALL
SELECT 'tasks', count(*) FROM tasks ANTI JOIN outcomes USING (task_id)
UNION ALL
SELECT 'agents', count(*)
FROM agents
WHERE agent_id NOT IN (SELECT agent_id FROM runs)
    AND agent_id NOT IN (SELECT agent_id FROM outcomes);

-- name: repair_orphans
DELETE FROM runs WHERE run_id NOT IN (SELECT run_id FROM outcomes);
DELETE FROM tasks WHERE task_id NOT IN (SELECT task_id FROM outcomes);
DELETE FROM agents
WHERE agent_id NOT IN (SELECT agent_id FROM runs)
    AND agent_id NOT IN (SELECT agent_id FROM outcomes);

-- name: repair_ranges
UPDATE metrics
SET seen_low = least(coalesce(metrics.seen_low, found.low), found.low),
    seen_high = greatest(coalesce(metrics.seen_high, found.high), found.high)
FROM (
    SELECT metric_id, min(score) AS low, max(score) AS high
    FROM outcomes WHERE score IS NOT NULL AND isfinite(score) GROUP BY metric_id
) AS found
WHERE metrics.metric_id = found.metric_id;

-- name: repair_sources
-- What is known of a source that is gone: that there was one.
INSERT INTO sources
SELECT source_id, '', '', CAST(get_current_timestamp() AS TIMESTAMP), '', '', 0, '', '[]'
FROM (SELECT DISTINCT source_id FROM outcomes ANTI JOIN sources USING (source_id));

-- name: repair_attempts
-- Of attempts that are held twice with one result, the first stays.
DELETE FROM outcomes
WHERE rowid IN (
    SELECT twice.rowid
    FROM outcomes AS twice
    JOIN (
        SELECT key, metric_id, min(rowid) AS first
        FROM outcomes GROUP BY key, metric_id HAVING count(*) > 1
    ) AS kept USING (key, metric_id)
    JOIN outcomes AS held ON held.rowid = kept.first
    WHERE twice.rowid <> kept.first
        AND held.agent_id = twice.agent_id AND held.task_id = twice.task_id
        AND held.kind = twice.kind AND held.score IS NOT DISTINCT FROM twice.score
        AND held.passed IS NOT DISTINCT FROM twice.passed)
RETURNING 1;

-- name: read_anew
-- Sources of attempts that refer to what is gone are no longer known, so that importing them again
-- replaces these attempts.
UPDATE sources SET digest = ''
WHERE source_id IN (
    SELECT outcomes.source_id
    FROM outcomes
    LEFT JOIN runs USING (run_id)
    LEFT JOIN tasks ON tasks.task_id = outcomes.task_id
    LEFT JOIN agents ON agents.agent_id = outcomes.agent_id
    LEFT JOIN metrics ON metrics.metric_id = outcomes.metric_id
    LEFT JOIN benchmarks ON benchmarks.benchmark_id = runs.benchmark_id
    WHERE runs.run_id IS NULL OR tasks.task_id IS NULL OR agents.agent_id IS NULL
        OR metrics.metric_id IS NULL OR benchmarks.benchmark_id IS NULL)
RETURNING name;

-- name: drop_incomplete
-- Attempts of which a part is lost, and what is left of a benchmark whose name is.
DELETE FROM runs WHERE benchmark_id NOT IN (SELECT benchmark_id FROM benchmarks);
DELETE FROM tasks WHERE benchmark_id NOT IN (SELECT benchmark_id FROM benchmarks);
DELETE FROM metrics WHERE benchmark_id NOT IN (SELECT benchmark_id FROM benchmarks);
DELETE FROM outcomes
WHERE run_id NOT IN (SELECT run_id FROM runs)
    OR task_id NOT IN (SELECT task_id FROM tasks)
    OR metric_id NOT IN (SELECT metric_id FROM metrics)
    OR agent_id NOT IN (SELECT agent_id FROM agents);

-- name: unknow_sources
-- Sources of lost attempts are no longer known; all of them, where it is unknown which they are.
UPDATE sources SET digest = '' WHERE $1 OR list_contains($2::INTEGER[], source_id);
