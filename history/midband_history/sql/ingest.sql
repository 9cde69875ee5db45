-- Statements that bring staged rows into the store, in the order in which they run.

-- name: stage
-- One row an attempt, whose names are numbers: they stand once in the two tables of names, or a few
-- times. `place` orders the rows as their sources do. `metric` numbers the rows of incoming_metrics,
-- from 0; `said` is the benchmark as the source calls it.
CREATE OR REPLACE TEMP TABLE incoming (
    source_id INTEGER, run INTEGER, task INTEGER, place BIGINT, attempt INTEGER, kind TINYINT,
    score DOUBLE, passed BOOLEAN, cost_usd DOUBLE, tokens DOUBLE, duration_s DOUBLE,
    source_key VARCHAR, scored TIMESTAMP,
    known_key UBIGINT              -- of an attempt that comes from another history
);
CREATE OR REPLACE TEMP TABLE incoming_runs (
    run INTEGER, place BIGINT, source_id INTEGER, benchmark VARCHAR, agent VARCHAR, model VARCHAR,
    scaffold VARCHAR, agent_version VARCHAR, settings VARCHAR, run_id VARCHAR, harness VARCHAR,
    harness_version VARCHAR, started TIMESTAMP, run_cost_usd DOUBLE, metric INTEGER DEFAULT 0,
    version VARCHAR DEFAULT '', whole BOOLEAN DEFAULT false, said VARCHAR
);
CREATE OR REPLACE TEMP TABLE incoming_tasks (
    task INTEGER, place BIGINT, source_id INTEGER, benchmark VARCHAR, task_id VARCHAR,
    task_digest VARCHAR, part VARCHAR DEFAULT '', said VARCHAR
);
CREATE OR REPLACE TEMP TABLE incoming_metrics (
    metric INTEGER, name VARCHAR, key VARCHAR, low DOUBLE, high DOUBLE,
    lower_is_better BOOLEAN, declared VARCHAR
);

-- name: add_sources
INSERT INTO sources SELECT
    unnest($1::INTEGER[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]),
    CAST(get_current_timestamp() AS TIMESTAMP),
    unnest($4::VARCHAR[]), unnest($5::VARCHAR[]), unnest($6::INTEGER[]), unnest($7::VARCHAR[]), '[]';

-- name: keep_notes
UPDATE sources SET notes = found.notes
FROM (
    SELECT unnest($1::INTEGER[]) AS source_id, unnest($2::VARCHAR[]) AS notes
) AS found
WHERE sources.source_id = found.source_id;

-- name: plain_names
-- A benchmark that was run from a package of evaluations is the same one; keys are of what is said.
UPDATE incoming_runs
SET said = benchmark, benchmark = substr(benchmark, 15)
WHERE starts_with(benchmark, 'inspect_evals/') AND length(benchmark) > 14;
UPDATE incoming_tasks
SET said = benchmark, benchmark = substr(benchmark, 15)
WHERE starts_with(benchmark, 'inspect_evals/') AND length(benchmark) > 14;

-- name: apply_aliases
-- A benchmark that goes by another name here joins the one that it is an alias of.
UPDATE incoming_runs
SET said = coalesce(incoming_runs.said, incoming_runs.benchmark), benchmark = aliases.name
FROM aliases
WHERE aliases.what = 'benchmark' AND aliases.alias = incoming_runs.benchmark;
UPDATE incoming_tasks
SET said = coalesce(incoming_tasks.said, incoming_tasks.benchmark), benchmark = aliases.name
FROM aliases
WHERE aliases.what = 'benchmark' AND aliases.alias = incoming_tasks.benchmark;

-- name: add_benchmarks
INSERT INTO benchmarks
SELECT
    (SELECT coalesce(max(benchmark_id), 0) FROM benchmarks) + row_number() OVER (ORDER BY name),
    name
FROM (SELECT DISTINCT benchmark AS name FROM incoming_runs)
WHERE name NOT IN (SELECT name FROM benchmarks);

-- name: add_metrics
INSERT INTO metrics
SELECT
    (SELECT coalesce(max(metric_id), 0) FROM metrics)
        + row_number() OVER (ORDER BY benchmark_id, name, key),
    benchmark_id, name, key, low, high, lower_is_better, declared, NULL, NULL
FROM (
    -- Of several statements about one metric the person's counts, then the first source's.
    SELECT
        benchmark_id, incoming_metrics.name, incoming_metrics.key,
        first(COLUMNS(['low', 'high', 'lower_is_better', 'declared'])
            ORDER BY declared = 'user' DESC, declared = 'source' DESC, place)
    FROM (
        SELECT benchmark, metric, min(place) AS place FROM incoming_runs GROUP BY ALL
    ) AS used
    JOIN incoming_metrics USING (metric)
    JOIN benchmarks ON benchmarks.name = used.benchmark
    GROUP BY benchmark_id, incoming_metrics.name, incoming_metrics.key
) AS found
ANTI JOIN metrics USING (benchmark_id, name, key);

-- name: declare_metrics
-- What is stated about the scale of a held metric replaces an assumption; a person's word, all.
UPDATE metrics
SET low = found.low, high = found.high, lower_is_better = found.lower_is_better,
    declared = found.declared
FROM (
    SELECT
        benchmark_id, incoming_metrics.name, incoming_metrics.key,
        first(COLUMNS(['low', 'high', 'lower_is_better', 'declared'])
            ORDER BY declared = 'user' DESC, place)
    FROM (
        SELECT benchmark, metric, min(place) AS place FROM incoming_runs GROUP BY ALL
    ) AS used
    JOIN incoming_metrics USING (metric)
    JOIN benchmarks ON benchmarks.name = used.benchmark
    WHERE declared <> ''
    GROUP BY benchmark_id, incoming_metrics.name, incoming_metrics.key
) AS found
WHERE metrics.benchmark_id = found.benchmark_id
    AND metrics.name = found.name AND metrics.key = found.key
    AND (metrics.declared = '' OR found.declared = 'user');

-- name: refused_metrics
-- Sources whose metric contradicts what is stated about it: another scale or direction, or a value
-- outside the stated scale.
SELECT
    source_id, benchmark, metrics.name, metrics.key, metrics.low, metrics.high,
    metrics.lower_is_better, metrics.declared,
    any_value(said.low) AS said_low, any_value(said.high) AS said_high,
    any_value(said.lower_is_better) AS said_lower, any_value(said.declared) AS said_declared,
    min(seen.low) AS seen_low, max(seen.high) AS seen_high
FROM incoming_runs
JOIN (
    SELECT run, min(score) AS low, max(score) AS high FROM incoming GROUP BY run
) AS seen USING (run)
JOIN incoming_metrics AS said USING (metric)
JOIN benchmarks ON benchmarks.name = incoming_runs.benchmark
JOIN metrics ON
    metrics.benchmark_id = benchmarks.benchmark_id
    AND metrics.name = said.name AND metrics.key = said.key
GROUP BY ALL
HAVING
    bool_or(said.declared <> '' AND (said.low <> metrics.low OR said.high <> metrics.high))
    OR bool_or(said.lower_is_better <> metrics.lower_is_better AND metrics.declared <> 'user')
    OR (metrics.declared <> '' AND NOT coalesce(
        min(seen.low) >= metrics.low - 1e-9 * (metrics.high - metrics.low)
        AND max(seen.high) <= metrics.high + 1e-9 * (metrics.high - metrics.low), true))
ORDER BY source_id;

-- name: refused_parts
-- Sources that give the id of a task to the task of another part of the same benchmark.
WITH named AS (
    SELECT benchmarks.name AS benchmark, tasks.name AS task_id, tasks.digest, tasks.part,
        -1 AS place, any_value(sources.name) AS source
    FROM tasks
    JOIN benchmarks USING (benchmark_id)
    JOIN outcomes USING (task_id)
    JOIN sources USING (source_id)
    WHERE tasks.part <> '' AND benchmarks.name IN (SELECT benchmark FROM incoming_tasks)
    GROUP BY ALL
    UNION ALL
    SELECT benchmark, task_id, task_digest, part, source_id, any_value(sources.name)
    FROM incoming_tasks JOIN sources USING (source_id)
    WHERE part <> ''
    GROUP BY ALL
),
owner AS (
    SELECT benchmark, task_id, arg_min(part, place) AS part, arg_min(source, place) AS source,
        arg_min(digest, place) AS digest
    FROM named GROUP BY benchmark, task_id
)
SELECT
    incoming_tasks.source_id, first(incoming_tasks.benchmark ORDER BY incoming_tasks.place),
    first(incoming_tasks.task_id ORDER BY incoming_tasks.place), first(incoming_tasks.part ORDER BY incoming_tasks.place),
    first(owner.part ORDER BY incoming_tasks.place), first(owner.source ORDER BY incoming_tasks.place)
FROM incoming_tasks
JOIN owner USING (benchmark, task_id)
WHERE incoming_tasks.part <> '' AND incoming_tasks.part <> owner.part
    AND NOT (incoming_tasks.task_digest <> '' AND incoming_tasks.task_digest = owner.digest)
GROUP BY incoming_tasks.source_id
ORDER BY incoming_tasks.source_id;

-- name: same_agents
-- Sources with results of an agent of the incoming source that has the same content.
SELECT DISTINCT outcomes.source_id
FROM outcomes
JOIN (
    SELECT unnest(CAST($old AS INTEGER[])) AS old, unnest(CAST($new AS INTEGER[])) AS new
) AS copies ON copies.old = outcomes.source_id
JOIN runs USING (run_id)
JOIN benchmarks USING (benchmark_id)
JOIN agents ON agents.agent_id = runs.agent_id
JOIN (SELECT DISTINCT source_id, benchmark, agent FROM incoming_runs) AS arrived ON
    arrived.source_id = copies.new AND arrived.benchmark = benchmarks.name
    AND arrived.agent = agents.name;

-- name: remove_nothing
CREATE OR REPLACE TEMP TABLE removed AS
SELECT key, kind, run_id, metric_id, score FROM outcomes LIMIT 0;

-- name: remove_sources
-- The attempts of sources that are read anew, to tell afterwards what is new.
CREATE OR REPLACE TEMP TABLE removed AS
SELECT key, kind, run_id, metric_id, score FROM outcomes
WHERE list_contains(CAST($ids AS INTEGER[]), source_id);

-- name: drop_removed_runs
-- What a run states of itself (its version, its cost) is read anew with its attempts.
DELETE FROM runs
WHERE run_id IN (SELECT run_id FROM removed) AND run_id NOT IN (SELECT run_id FROM outcomes);

-- name: match_contents
-- A task that is called by its digest has no id of its own: it is the task of that content, where
-- one is known by an id, in the store or among the rows that come in.
CREATE OR REPLACE TEMP TABLE named_contents AS
SELECT benchmark, digest, min(name) AS name
FROM (
    SELECT benchmarks.name AS benchmark, tasks.digest, tasks.name
    FROM tasks JOIN benchmarks USING (benchmark_id)
    WHERE tasks.digest <> '' AND tasks.name <> tasks.digest
    UNION
    SELECT benchmark, task_digest, task_id FROM incoming_tasks
    WHERE task_digest <> '' AND task_id <> task_digest
) AS by_id
SEMI JOIN (
    SELECT benchmarks.name AS benchmark, tasks.digest
    FROM tasks JOIN benchmarks USING (benchmark_id)
    WHERE tasks.name = tasks.digest
    UNION ALL
    SELECT benchmark, task_digest FROM incoming_tasks WHERE task_id = task_digest
) AS by_content USING (benchmark, digest)
GROUP BY benchmark, digest
HAVING count(DISTINCT name) = 1;

UPDATE incoming_tasks SET task_id = named_contents.name
FROM named_contents
WHERE incoming_tasks.benchmark = named_contents.benchmark
    AND incoming_tasks.task_digest = named_contents.digest
    AND incoming_tasks.task_id = incoming_tasks.task_digest;

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

-- name: add_tasks
INSERT INTO tasks
SELECT
    (SELECT coalesce(max(task_id), 0) FROM tasks)
        + row_number() OVER (ORDER BY benchmark_id, name, digest),
    benchmark_id, name, digest, part
FROM (
    SELECT benchmark_id, task_id AS name, task_digest AS digest, max(part) AS part
    FROM incoming_tasks JOIN benchmarks ON benchmarks.name = incoming_tasks.benchmark
    GROUP BY benchmark_id, task_id, task_digest
) AS found
ANTI JOIN tasks USING (benchmark_id, name, digest);

-- name: add_agents
INSERT INTO agents
SELECT
    (SELECT coalesce(max(agent_id), 0) FROM agents)
        + row_number() OVER (ORDER BY name, length(settings), settings, model, scaffold, version),
    name, name, model, scaffold, version, settings
FROM (
    SELECT DISTINCT agent AS name, model, scaffold, agent_version AS version, settings FROM incoming_runs
) AS found
ANTI JOIN agents USING (name, model, scaffold, version, settings);

-- name: add_runs
INSERT INTO runs
SELECT
    (SELECT coalesce(max(run_id), 0) FROM runs)
        + row_number() OVER (ORDER BY benchmark_id, agent_id, started, name),
    benchmark_id, agent_id, name, harness, harness_version, started, cost_usd, version, whole
FROM (
    SELECT
        benchmark_id, agent_id, incoming_runs.run_id AS name, started,
        max(harness) AS harness, max(harness_version) AS harness_version,
        max(run_cost_usd) AS cost_usd, max(incoming_runs.version) AS version, bool_or(whole) AS whole
    FROM incoming_runs
    JOIN benchmarks ON benchmarks.name = incoming_runs.benchmark
    JOIN agents ON
        agents.name = incoming_runs.agent AND agents.model = incoming_runs.model
        AND agents.scaffold = incoming_runs.scaffold AND agents.version = incoming_runs.agent_version
        AND agents.settings = incoming_runs.settings
    GROUP BY benchmark_id, agent_id, incoming_runs.run_id, started
) AS found
WHERE NOT EXISTS (
    FROM runs
    WHERE runs.benchmark_id = found.benchmark_id AND runs.agent_id = found.agent_id
        AND runs.name = found.name AND runs.started IS NOT DISTINCT FROM found.started
);

-- name: number_metrics
-- Which stored metric each incoming_runs metric of each benchmark is.
CREATE OR REPLACE TEMP TABLE numbered_metrics AS
SELECT benchmarks.benchmark_id, used.metric, metrics.metric_id
FROM (SELECT DISTINCT benchmark, metric FROM incoming_runs) AS used
JOIN incoming_metrics USING (metric)
JOIN benchmarks ON benchmarks.name = used.benchmark
JOIN metrics ON
    metrics.benchmark_id = benchmarks.benchmark_id
    AND metrics.name = incoming_metrics.name AND metrics.key = incoming_metrics.key;

-- name: resolve
-- The incoming rows with their integer keys. The key is of the names as the source says them, so an
-- alias made later changes no key; the texts of the names are put together once.
CREATE OR REPLACE TEMP TABLE resolved AS
WITH known_runs AS (
    SELECT
        incoming_runs.run, agents.agent_id, runs.run_id, numbered_metrics.metric_id,
        concat_ws(
            chr(31), 'source', coalesce(incoming_runs.said, incoming_runs.benchmark), ''
        ) AS by_source,
        concat_ws(
            chr(31), 'place', coalesce(incoming_runs.said, incoming_runs.benchmark), ''
        ) AS before_task,
        concat_ws(
            chr(31), '', incoming_runs.agent, incoming_runs.model, incoming_runs.scaffold,
            incoming_runs.agent_version, incoming_runs.settings, incoming_runs.run_id,
            coalesce(CAST(epoch_us(incoming_runs.started) AS VARCHAR), '-'), ''
        ) AS after_task
    FROM incoming_runs
    JOIN benchmarks ON benchmarks.name = incoming_runs.benchmark
    JOIN numbered_metrics ON
        numbered_metrics.benchmark_id = benchmarks.benchmark_id
        AND numbered_metrics.metric = incoming_runs.metric
    JOIN agents ON
        agents.name = incoming_runs.agent AND agents.model = incoming_runs.model
        AND agents.scaffold = incoming_runs.scaffold
        AND agents.version = incoming_runs.agent_version
        AND agents.settings = incoming_runs.settings
    JOIN runs ON
        runs.benchmark_id = benchmarks.benchmark_id AND runs.agent_id = agents.agent_id
        AND runs.name = incoming_runs.run_id
        AND runs.started IS NOT DISTINCT FROM incoming_runs.started
),
known_tasks AS (
    SELECT incoming_tasks.task, incoming_tasks.task_id AS name, tasks.task_id
    FROM incoming_tasks
    JOIN benchmarks ON benchmarks.name = incoming_tasks.benchmark
    JOIN tasks ON
        tasks.benchmark_id = benchmarks.benchmark_id AND tasks.name = incoming_tasks.task_id
        AND tasks.digest = incoming_tasks.task_digest
)
SELECT
    incoming.source_id, known_runs.agent_id, known_tasks.task_id, known_runs.run_id,
    incoming.attempt, incoming.kind, incoming.score, incoming.passed, incoming.cost_usd,
    incoming.tokens, incoming.duration_s, known_runs.metric_id, incoming.scored, incoming.place,
    coalesce(incoming.known_key, md5_number_lower(
        CASE WHEN incoming.source_key <> ''
        THEN by_source || incoming.source_key
        ELSE before_task || known_tasks.name || after_task || CAST(incoming.attempt AS VARCHAR)
        END
    )) AS key
FROM incoming
JOIN known_runs USING (run)
JOIN known_tasks USING (task);

-- Of the few rows that are one attempt, those of its newest scoring count, and of these the first
-- by each metric; where none counts, `chosen` is no place.
CREATE OR REPLACE TEMP TABLE repeated AS
WITH several AS (
    SELECT key FROM resolved GROUP BY key HAVING count(*) > 1
),
twice AS (
    SELECT key, max(scored) AS newest FROM resolved SEMI JOIN several USING (key) GROUP BY key
)
SELECT
    key, metric_id,
    coalesce(min(place) FILTER (newest IS NULL OR scored = newest), -1) AS chosen
FROM resolved JOIN twice USING (key)
GROUP BY key, metric_id;

-- name: find_superseded
-- An attempt that was scored again: the later scoring takes the place of what is held, whatever the
-- metric of either.
CREATE OR REPLACE TEMP TABLE superseded AS
SELECT DISTINCT outcomes.key, outcomes.metric_id, outcomes.run_id
FROM outcomes
JOIN (
    FROM resolved LEFT JOIN repeated USING (key, metric_id)
    WHERE scored IS NOT NULL AND (chosen IS NULL OR chosen = place)
) AS newer ON newer.key = outcomes.key
WHERE (outcomes.scored IS NULL OR outcomes.scored < newer.scored)
    AND (outcomes.metric_id <> newer.metric_id OR outcomes.kind <> newer.kind
        OR outcomes.score IS DISTINCT FROM newer.score);

-- name: drop_superseded
DELETE FROM outcomes
USING superseded
WHERE outcomes.key = superseded.key AND outcomes.metric_id = superseded.metric_id;

-- name: add_outcomes
INSERT INTO outcomes
SELECT
    agent_id, task_id, run_id, attempt, kind, score, passed, cost_usd, tokens, duration_s,
    source_id, key, metric_id, scored
FROM resolved
ANTI JOIN outcomes USING (key, metric_id)
ANTI JOIN (SELECT key, scored FROM outcomes WHERE scored IS NOT NULL) AS held ON
    held.key = resolved.key AND (resolved.scored IS NULL OR held.scored > resolved.scored)
LEFT JOIN repeated USING (key, metric_id)
WHERE chosen IS NULL OR chosen = place
ORDER BY agent_id, task_id, place;

-- name: see_metrics
-- Widen the range in which values of each metric were seen.
UPDATE metrics
SET seen_low = least(coalesce(metrics.seen_low, found.low), found.low),
    seen_high = greatest(coalesce(metrics.seen_high, found.high), found.high)
FROM (
    SELECT metric_id, min(score) AS low, max(score) AS high FROM resolved
    WHERE score IS NOT NULL GROUP BY metric_id
) AS found
WHERE metrics.metric_id = found.metric_id;

-- name: note_range
-- Remember the range of values of a metric whose source was refused.
UPDATE metrics
SET seen_low = least(coalesce(seen_low, $low), $low),
    seen_high = greatest(coalesce(seen_high, $high), $high)
WHERE name = $name AND key = $key
    AND benchmark_id = (SELECT benchmark_id FROM benchmarks WHERE name = $benchmark);

-- name: take_away
-- What an earlier reading has held: its scores, and those of its attempts that are gone.
CREATE OR REPLACE TEMP TABLE taken_away AS SELECT metric_id, score FROM removed;
CREATE OR REPLACE TEMP TABLE forgotten AS
SELECT DISTINCT run_id, 0 AS source_id FROM removed ANTI JOIN outcomes USING (key);

-- name: see_again
-- The range of each metric of which results were taken away, over what is left. An end that these
-- results did not give stands: it is of a source that was refused.
UPDATE metrics
SET seen_low = CASE WHEN found.low IS NULL OR metrics.seen_low >= gone.low
        THEN found.low ELSE metrics.seen_low END,
    seen_high = CASE WHEN found.high IS NULL OR metrics.seen_high <= gone.high
        THEN found.high ELSE metrics.seen_high END
FROM (
    SELECT metric_id, min(score) AS low, max(score) AS high
    FROM taken_away WHERE score IS NOT NULL GROUP BY metric_id
) AS gone
LEFT JOIN (
    SELECT metric_id, min(score) AS low, max(score) AS high FROM outcomes
    WHERE metric_id IN (SELECT metric_id FROM taken_away) GROUP BY metric_id
) AS found USING (metric_id)
WHERE metrics.metric_id = gone.metric_id;

-- name: source_counts
-- How many rows each source of this transaction staged, how many of them are new, and how many
-- stand in for attempts of an earlier reading.
SELECT staged.source_id, held, coalesce(fresh, 0) AS fresh, coalesce(again, 0) AS again
FROM (SELECT source_id, count(*) AS held FROM resolved GROUP BY source_id) AS staged
LEFT JOIN (
    SELECT
        source_id,
        count(*) FILTER (WHERE removed.key IS NULL) AS fresh,
        count(*) FILTER (WHERE removed.key IS NOT NULL) AS again
    FROM outcomes LEFT JOIN (SELECT DISTINCT key FROM removed) AS removed USING (key)
    WHERE source_id > $last
    GROUP BY source_id
) AS kept USING (source_id);

-- name: conflicts
-- Attempts of each source that are held with another result; run after `add_outcomes`.
-- One that was scored before the result that is held has simply been superseded.
SELECT
    resolved.source_id,
    count(*) AS conflicts,
    first(benchmarks.name || '/' || tasks.name || ' by ' || agents.name || ', attempt '
        || resolved.attempt ORDER BY place) AS example
FROM resolved
JOIN outcomes USING (key, metric_id)
JOIN tasks ON tasks.task_id = resolved.task_id
JOIN benchmarks USING (benchmark_id)
JOIN agents ON agents.agent_id = resolved.agent_id
WHERE (resolved.kind <> outcomes.kind OR resolved.score IS DISTINCT FROM outcomes.score)
    AND NOT coalesce(outcomes.scored > resolved.scored, outcomes.scored IS NOT NULL)
GROUP BY resolved.source_id;

-- name: counts
-- What the rows of each source are, by benchmark, agent and metric.
SELECT
    source_id, benchmarks.name AS benchmark, resolved.agent_id, metrics.name, metrics.key,
    count(*) FILTER (WHERE kind = 0) AS valid,
    count(*) FILTER (WHERE kind = 0 AND passed) AS passed,
    count(*) FILTER (WHERE kind IN (1, 2, 3)) AS errors,
    count(*) FILTER (WHERE kind = 4) AS unscored,
    count(*) FILTER (
        WHERE kind = 0 AND (score < metrics.low - 1e-9 OR score > metrics.high + 1e-9)
    ) AS out_of_range
FROM resolved
JOIN metrics USING (metric_id)
JOIN benchmarks USING (benchmark_id)
GROUP BY ALL
ORDER BY source_id, benchmark, resolved.agent_id;

-- name: drop_empty_runs
-- A run whose every attempt was held already under another run (one sample in two logs).
DELETE FROM runs WHERE run_id > $run AND run_id NOT IN (SELECT run_id FROM outcomes);

-- name: drop_refused
-- Benchmarks and metrics that only sources that were refused have named.
DELETE FROM metrics
WHERE metric_id > $metric AND metric_id NOT IN (SELECT metric_id FROM resolved);
DELETE FROM benchmarks
WHERE benchmark_id > $benchmark
    AND benchmark_id NOT IN (SELECT benchmark_id FROM metrics);

-- name: drop_orphans
-- Runs and benchmarks of which nothing is left.
DELETE FROM runs WHERE run_id NOT IN (SELECT run_id FROM outcomes);
DELETE FROM tasks WHERE task_id NOT IN (SELECT task_id FROM outcomes);
DELETE FROM agents WHERE agent_id NOT IN (SELECT agent_id FROM runs);
DELETE FROM metrics
WHERE metric_id NOT IN (SELECT metric_id FROM outcomes)
    AND seen_low IS NULL AND declared <> 'user';
DELETE FROM benchmarks
WHERE benchmark_id NOT IN (SELECT benchmark_id FROM runs)
    AND benchmark_id NOT IN (SELECT benchmark_id FROM metrics);

-- name: folded
SELECT name FROM batches WHERE list_contains(CAST($names AS VARCHAR[]), name);

-- name: stage_batches
-- Rows of batches of the inbox, with the sources, metrics and names of each batch numbered anew.
CREATE OR REPLACE TEMP TABLE batch_rows AS
SELECT
    batch.* EXCLUDE (filename, file_row_number) REPLACE (
        CAST($first + source.new AS INTEGER) AS source_id, metrics.new AS metric,
        CAST(dense_rank() OVER (ORDER BY source.filename, run) AS INTEGER) AS run,
        CAST(dense_rank() OVER (ORDER BY source.filename, task) AS INTEGER) AS task
    ),
    row_number() OVER (ORDER BY source.new, file_row_number) AS place
FROM read_parquet(
    $paths, filename = true, file_row_number = true, union_by_name = true
) AS batch
JOIN (
    SELECT
        unnest(CAST($source_files AS VARCHAR[])) AS filename,
        unnest(CAST($source_old AS INTEGER[])) AS old, unnest(CAST($source_new AS INTEGER[])) AS new
) AS source ON source.filename = batch.filename AND source.old = batch.source_id
JOIN (
    SELECT
        unnest(CAST($metric_files AS VARCHAR[])) AS filename,
        unnest(CAST($metric_old AS INTEGER[])) AS old, unnest(CAST($metric_new AS INTEGER[])) AS new
) AS metrics ON metrics.filename = batch.filename AND metrics.old = batch.metric;

-- name: name_batches
INSERT INTO incoming_runs BY NAME
SELECT
    run, min(place) AS place,
    first(COLUMNS([
        'source_id', 'benchmark', 'agent', 'model', 'scaffold', 'agent_version', 'settings',
        'run_id', 'harness', 'harness_version', 'started', 'run_cost_usd', 'metric', 'version',
        'whole']))
FROM batch_rows GROUP BY run;
INSERT INTO incoming_tasks BY NAME
SELECT
    task, min(place) AS place,
    first(COLUMNS(['source_id', 'benchmark', 'task_id', 'task_digest', 'part']))
FROM batch_rows GROUP BY task;
INSERT INTO incoming BY NAME
SELECT COLUMNS([
    'source_id', 'run', 'task', 'place', 'attempt', 'kind', 'score', 'passed', 'cost_usd', 'tokens',
    'duration_s', 'source_key', 'scored', 'known_key'])
FROM batch_rows;
DROP TABLE batch_rows;

-- name: batch_rows_staged
-- How many rows the batches have, and how many of them were staged.
SELECT
    (SELECT CAST(sum(num_rows) AS BIGINT) FROM parquet_file_metadata($paths)),
    (SELECT count(*) FROM incoming);

-- name: note_batches
INSERT INTO batches
SELECT
    unnest(CAST($names AS VARCHAR[])), CAST(get_current_timestamp() AS TIMESTAMP),
    unnest(CAST($attempts AS BIGINT[])), unnest(CAST($refused AS VARCHAR[]));
