-- Statements that read what the store holds.

-- name: benchmarks
-- One attempt may be held under several metrics; it counts once.
WITH per_metric AS (
    SELECT
        run_id, metric_id,
        sum(coalesce(cost_usd, 0) + coalesce(lost_usd, 0))
            FILTER (cost_usd IS NOT NULL OR lost_usd IS NOT NULL) AS cost_usd,
        sum(valid + without_score) AS attempts, sum(without_score) AS without_score
    FROM cells GROUP BY run_id, metric_id
),
per_run AS (
    SELECT
        runs.run_id, any_value(runs.benchmark_id) AS benchmark_id,
        any_value(runs.agent_id) AS agent_id, any_value(runs.started) AS started,
        coalesce(any_value(runs.cost_usd), max(per_metric.cost_usd)) AS cost_usd,
        max(attempts) AS attempts, max(without_score) AS without_score
    FROM runs JOIN per_metric USING (run_id)
    GROUP BY runs.run_id
)
SELECT
    benchmarks.name, any_value(counts.tasks) AS tasks, count(DISTINCT agent_id) AS agents,
    CAST(sum(attempts) AS BIGINT) AS attempts, min(started) AS first, max(started) AS last,
    CAST(coalesce(sum(cost_usd), 'nan') AS DOUBLE) AS cost_usd,
    CAST(sum(without_score) AS BIGINT) AS without_score
FROM benchmarks
JOIN per_run USING (benchmark_id)
JOIN (
    SELECT benchmark_id, count(DISTINCT name) AS tasks FROM tasks GROUP BY benchmark_id
) AS counts USING (benchmark_id)
GROUP BY benchmarks.name
ORDER BY benchmarks.name;

-- name: metrics
-- The metrics of one benchmark by which there is a result, or of which something was stated.
SELECT
    metrics.metric_id, metrics.name, metrics.key, metrics.low, metrics.high,
    metrics.lower_is_better, metrics.declared,
    CAST(coalesce(found.agents, 0) AS BIGINT) AS agents,
    CAST(coalesce(found.scored, 0) AS BIGINT) AS attempts,
    CAST(coalesce(found.attempts, 0) AS BIGINT) AS held,
    CAST(coalesce(metrics.seen_low, 'nan') AS DOUBLE) AS seen_low,
    CAST(coalesce(metrics.seen_high, 'nan') AS DOUBLE) AS seen_high
FROM metrics
LEFT JOIN (
    SELECT
        metric_id, count(DISTINCT runs.agent_id) FILTER (scored > 0) AS agents,
        sum(scored) AS scored, sum(attempts) AS attempts
    FROM (
        SELECT metric_id, run_id, sum(valid) AS scored, sum(valid + without_score) AS attempts
        FROM cells
        WHERE metric_id IN (SELECT metric_id FROM metrics WHERE benchmark_id = $benchmark_id)
        GROUP BY metric_id, run_id
    ) AS of_run
    JOIN runs USING (run_id)
    GROUP BY metric_id
) AS found USING (metric_id)
WHERE metrics.benchmark_id = $benchmark_id
ORDER BY metrics.name, metrics.key;

-- name: agents
-- The agents that ran one benchmark by a date.
SELECT
    agents.agent_id, agents.label, agents.name, agents.model, agents.scaffold,
    min(started) AS first, CAST(coalesce(avg(runs.cost_usd), 'nan') AS DOUBLE) AS run_cost_usd
FROM runs JOIN agents USING (agent_id)
WHERE runs.benchmark_id = $benchmark_id
    AND (CAST($as_of AS TIMESTAMP) IS NULL OR started <= CAST($as_of AS TIMESTAMP))
GROUP BY ALL
ORDER BY agents.agent_id;

-- name: identities
-- Who ran each of some benchmarks.
SELECT DISTINCT
    benchmarks.name AS benchmark, agents.agent_id, agents.name, agents.model, agents.scaffold,
    agents.version, agents.settings
FROM runs
JOIN benchmarks USING (benchmark_id)
JOIN agents USING (agent_id)
WHERE list_contains(CAST($benchmarks AS VARCHAR[]), benchmarks.name);

-- name: names_of_benchmarks
SELECT name FROM benchmarks
WHERE benchmark_id IN (SELECT benchmark_id FROM runs) ORDER BY name;

-- name: names_of_tasks
SELECT DISTINCT name FROM tasks WHERE benchmark_id = $benchmark_id ORDER BY name;

-- name: tasks
-- The tasks of one benchmark with the versions under which each content was run, and when last.
-- Runs that began at one time are ordered by who ran and their names, never by order of import.
WITH ordered AS (
    SELECT
        runs.run_id, runs.version, runs.whole, runs.started,
        row_number() OVER (
            ORDER BY
                runs.started NULLS FIRST, agents.name, agents.model, agents.scaffold,
                agents.version, agents.settings, runs.name
        ) AS nth
    FROM runs JOIN agents USING (agent_id)
    WHERE runs.benchmark_id = $benchmark_id
        AND (CAST($as_of AS TIMESTAMP) IS NULL OR runs.started <= CAST($as_of AS TIMESTAMP))
)
SELECT
    tasks.task_id, tasks.name, tasks.digest, coalesce(used.version, '') AS version,
    coalesce(used.whole, false) AS whole, used.started AS last,
    coalesce(used.nth, 0) AS "order"
FROM tasks
LEFT JOIN (
    SELECT
        cells.task_id, ordered.version, bool_or(ordered.whole) AS whole,
        max(ordered.started) AS started, max(ordered.nth) AS nth
    FROM cells JOIN ordered USING (run_id)
    GROUP BY cells.task_id, ordered.version
) AS used USING (task_id)
WHERE tasks.benchmark_id = $benchmark_id
ORDER BY tasks.name, "order", tasks.digest;

-- name: attempts
-- The scored attempts at one benchmark by some agents, in the order in which they count.
SELECT
    outcomes.agent_id, outcomes.task_id, runs.version = $version AND $version <> '' AS same_version,
    CAST(coalesce(outcomes.score, 'nan') AS DOUBLE) AS score
FROM outcomes JOIN runs USING (run_id)
WHERE runs.benchmark_id = $benchmark_id
    AND outcomes.kind = 0 AND outcomes.metric_id = $metric_id
    AND (CAST($as_of AS TIMESTAMP) IS NULL OR runs.started <= CAST($as_of AS TIMESTAMP))
    AND outcomes.agent_id IN (SELECT unnest(CAST($agent_ids AS INTEGER[])))
    AND outcomes.agent_id BETWEEN $first AND $last
ORDER BY runs.started NULLS LAST, runs.name, outcomes.attempt, outcomes.key;

-- name: mean_tokens
SELECT favg(tokens)
FROM outcomes JOIN runs USING (run_id)
WHERE benchmark_id = $benchmark_id AND tokens >= 0 AND isfinite(tokens)
    AND (CAST($as_of AS TIMESTAMP) IS NULL OR runs.started <= CAST($as_of AS TIMESTAMP));

-- name: run_sizes
SELECT run_id, count(*) FROM outcomes JOIN runs USING (run_id)
WHERE CAST($benchmark_id AS INTEGER) IS NULL OR benchmark_id = $benchmark_id
GROUP BY run_id ORDER BY run_id;

-- name: records
-- Every attempt of some runs, with all that is known of it; runs one after the other.
SELECT
    benchmarks.name AS benchmark, tasks.name AS task_id, agents.name AS agent,
    outcomes.score, outcomes.passed, outcomes.kind, outcomes.attempt,
    runs.name AS run_id, agents.model, agents.scaffold, agents.version AS agent_version,
    agents.settings, runs.harness, runs.harness_version, runs.started,
    outcomes.cost_usd, outcomes.tokens, outcomes.duration_s, runs.cost_usd AS run_cost_usd,
    tasks.digest AS task_digest, tasks.part, runs.version AS benchmark_version,
    runs.whole AS whole_benchmark, outcomes.scored AS scored_at, outcomes.metric_id
FROM outcomes
JOIN runs USING (run_id)
JOIN benchmarks ON benchmarks.benchmark_id = runs.benchmark_id
JOIN tasks ON tasks.task_id = outcomes.task_id
JOIN agents ON agents.agent_id = outcomes.agent_id
WHERE outcomes.run_id BETWEEN $first AND $last
    AND (CAST($benchmark_id AS INTEGER) IS NULL OR runs.benchmark_id = $benchmark_id)
ORDER BY outcomes.run_id, tasks.name, outcomes.attempt, outcomes.key;

-- name: plain_version
-- Whether every task of a benchmark has one content, and its runs name fewer than two versions.
SELECT
    (SELECT count(*) = count(DISTINCT name) FROM tasks WHERE benchmark_id = $benchmark_id)
    AND (SELECT count(DISTINCT version) FROM runs
        WHERE benchmark_id = $benchmark_id AND version <> '') < 2;

-- name: plain_tasks
SELECT task_id, name, digest FROM tasks WHERE benchmark_id = $benchmark_id ORDER BY name;

-- name: left_out
SELECT
    count(*) FILTER (WHERE started > CAST($as_of AS TIMESTAMP)) AS later,
    count(*) FILTER (WHERE started IS NULL) AS undated,
    count(*) FILTER (WHERE started <= CAST($as_of AS TIMESTAMP)) AS kept
FROM runs
WHERE benchmark_id = $benchmark_id;

-- name: agents_of_tasks
-- The agents that tried each task of one benchmark.
SELECT cells.task_id, list(DISTINCT runs.agent_id)
FROM cells
JOIN runs USING (run_id)
JOIN tasks ON tasks.task_id = cells.task_id
WHERE tasks.benchmark_id = $benchmark_id
GROUP BY cells.task_id;

-- name: without_score
-- How many attempts of each agent at one benchmark have no score; by several metrics, once.
SELECT agent_id, CAST(sum(attempts) AS BIGINT)
FROM (
    SELECT outcomes.agent_id, outcomes.key, 1 AS attempts
    FROM outcomes JOIN runs USING (run_id)
    SEMI JOIN (SELECT key FROM outcomes WHERE kind <> 0) AS failed ON failed.key = outcomes.key
    WHERE runs.benchmark_id = $benchmark_id
    GROUP BY outcomes.agent_id, outcomes.key
    HAVING bool_and(outcomes.kind <> 0)
)
GROUP BY agent_id;

-- name: sources_of_benchmark
-- The sources that a benchmark has attempts from, the largest first.
SELECT
    sources.name AS source, sources.reader, count(*) AS attempts,
    count(DISTINCT outcomes.agent_id) AS agents, max(sources.added_at) AS added
FROM outcomes JOIN sources USING (source_id)
WHERE outcomes.metric_id IN (SELECT metric_id FROM metrics WHERE benchmark_id = $benchmark_id)
GROUP BY sources.name, sources.reader
ORDER BY attempts DESC, source;

-- name: why
-- Every attempt behind the number of one task, with where it comes from.
SELECT
    outcomes.agent_id, tasks.name AS task_id, tasks.digest AS task_digest, tasks.part,
    metrics.name AS metric, metrics.key, outcomes.kind, outcomes.score, outcomes.attempt,
    runs.name AS run_id, runs.harness, runs.harness_version, runs.version AS benchmark_version,
    runs.started, outcomes.scored AS scored_at, coalesce(sources.name, '') AS source,
    sources.added_at AS imported_at, sources.reader, sources.reader_version, sources.options,
    coalesce(nullif(sources.notes, ''), '[]') AS notes
FROM outcomes
JOIN runs USING (run_id)
JOIN tasks ON tasks.task_id = outcomes.task_id
JOIN metrics USING (metric_id)
LEFT JOIN sources USING (source_id)
WHERE runs.benchmark_id = $benchmark_id AND tasks.name = $task
ORDER BY outcomes.agent_id, runs.started NULLS LAST, runs.name, outcomes.attempt, outcomes.key;

-- name: old_sources
-- Sources of which there are results, with who read them.
SELECT
    sources.source_id, sources.name, sources.reader, sources.reader_version, count(*) AS attempts
FROM sources JOIN outcomes USING (source_id)
GROUP BY ALL
ORDER BY sources.name, sources.source_id;

-- name: forgettable
-- How many attempts each source gave each run, by agent and benchmark.
SELECT
    runs.run_id, runs.agent_id, outcomes.source_id, benchmarks.name,
    coalesce(sources.name, ''), count(*)
FROM outcomes
JOIN runs USING (run_id)
JOIN benchmarks USING (benchmark_id)
LEFT JOIN sources USING (source_id)
WHERE (CAST($benchmark_id AS INTEGER) IS NULL OR runs.benchmark_id = $benchmark_id)
    AND (CAST($run AS VARCHAR) IS NULL OR runs.name = $run)
GROUP BY ALL;

-- name: last_imports
-- When results on each benchmark last came in, UTC.
SELECT benchmarks.name, max(sources.added_at)
FROM (SELECT DISTINCT run_id, source_id FROM outcomes) AS held
JOIN runs USING (run_id)
JOIN benchmarks USING (benchmark_id)
JOIN sources USING (source_id)
GROUP BY benchmarks.name
ORDER BY benchmarks.name;
