-- Statements that write a history to a file and that add the results of such a file to another.

-- name: export_agents
CREATE OR REPLACE TEMP TABLE export_agents AS
SELECT agent_id, name, model, scaffold, version, settings FROM agents;

-- name: anonymous_agents
-- Agents that an alias makes one get one name; `person` is the agent whose name that is of.
CREATE OR REPLACE TEMP TABLE export_agents AS
SELECT
    agents.agent_id,
    'agent-' || substr(sha256(concat_ws(
        chr(31), $salt, 'agent', named.name, named.model, named.scaffold, named.version,
        named.settings)), 1, 16) AS name,
    '' AS model, '' AS scaffold, '' AS version, '' AS settings
FROM agents
LEFT JOIN (
    SELECT unnest($agents::INTEGER[]) AS agent_id, unnest($persons::INTEGER[]) AS person
) AS joined USING (agent_id)
JOIN agents AS named ON named.agent_id = coalesce(joined.person, agents.agent_id);

-- name: export_runs
CREATE OR REPLACE TEMP TABLE export_runs AS FROM runs;

-- name: anonymous_runs
CREATE OR REPLACE TEMP TABLE export_runs AS
SELECT * REPLACE (
    CASE WHEN name <> ''
    THEN 'run-' || substr(sha256(concat_ws(chr(31), $salt, 'run', name)), 1, 16) ELSE '' END AS name
)
FROM runs;

-- name: export_sources
CREATE OR REPLACE TEMP TABLE export_sources AS FROM sources;

-- name: anonymous_sources
-- The digests go too: with them the files could be recognised.
CREATE OR REPLACE TEMP TABLE export_sources AS
SELECT * REPLACE (
    CASE WHEN name <> ''
    THEN 'source-' || substr(sha256(concat_ws(chr(31), $salt, 'source', name)), 1, 16) ELSE '' END
        AS name,
    '' AS digest, '' AS content, '' AS options, '[]' AS notes
)
FROM sources;

-- name: exported_metrics
SELECT
    benchmarks.name, metrics.name, metrics.key, low, high, lower_is_better, declared, seen_low,
    seen_high
FROM metrics JOIN benchmarks USING (benchmark_id)
WHERE CAST($benchmark_id AS INTEGER) IS NULL OR benchmark_id = $benchmark_id
ORDER BY ALL;

-- name: exported_sources
-- Sources without an attempt of their own: what they hold came from another source first.
SELECT
    source_id, name, digest, content, reader, reader_version, options, notes,
    epoch_us(added_at)
FROM export_sources
WHERE source_id NOT IN (SELECT source_id FROM outcomes)
ORDER BY source_id;

-- name: exported_labels
-- Agents whose label of midband 0.1 is not their name.
SELECT name, model, scaffold, version, settings, label FROM agents
WHERE label <> name ORDER BY ALL;

-- name: exported_rows
SELECT
    benchmarks.name AS benchmark, tasks.name AS task_id, export_agents.name AS agent,
    outcomes.score, outcomes.passed,
    CAST($kinds AS VARCHAR[])[outcomes.kind + 1] AS kind,
    outcomes.attempt, export_runs.name AS run_id, export_runs.started AS run_date,
    export_agents.model, export_agents.scaffold, export_agents.version AS agent_version,
    export_agents.settings, export_runs.harness, export_runs.harness_version,
    outcomes.cost_usd, outcomes.tokens, outcomes.duration_s,
    export_runs.cost_usd AS run_cost_usd, tasks.digest AS task_digest, tasks.part,
    export_runs.version AS benchmark_version, export_runs.whole AS whole_benchmark,
    outcomes.scored AS scored_at,
    metrics.name AS metric, metrics.key AS metric_key, metrics.low AS metric_low,
    metrics.high AS metric_high, metrics.lower_is_better, metrics.declared AS metric_declared,
    CASE WHEN $salt = '' THEN outcomes.key
    ELSE md5_number_lower(sha256(concat_ws(chr(31), $salt, 'attempt', outcomes.key)))
    END AS key,
    outcomes.source_id, coalesce(export_sources.name, '') AS source,
    coalesce(export_sources.digest, '') AS source_digest,
    coalesce(export_sources.content, '') AS source_content,
    coalesce(export_sources.reader, '') AS reader,
    coalesce(export_sources.reader_version, 0) AS reader_version,
    coalesce(export_sources.options, '') AS source_options,
    coalesce(export_sources.notes, '[]') AS source_notes,
    export_sources.added_at AS imported_at
FROM outcomes
JOIN export_runs USING (run_id)
JOIN benchmarks ON benchmarks.benchmark_id = export_runs.benchmark_id
JOIN tasks ON tasks.task_id = outcomes.task_id
JOIN export_agents ON export_agents.agent_id = outcomes.agent_id
JOIN metrics ON metrics.metric_id = outcomes.metric_id
LEFT JOIN export_sources ON export_sources.source_id = outcomes.source_id
WHERE CAST($benchmark_id AS INTEGER) IS NULL OR export_runs.benchmark_id = $benchmark_id

-- name: digest_of_rows
-- Parquet has no check sum of its own, and a wrong number must not be read. Numbers are written as
-- they are in binary, and dates as counts, so that no version of DuckDB writes them otherwise.
SELECT
    count(*),
    CAST(bit_xor(md5_number_lower(concat_ws(
        chr(31), benchmark, task_id, agent, kind, attempt, run_id, model, scaffold, agent_version,
        settings, harness, harness_version, task_digest, part, benchmark_version, metric,
        metric_key, source, source_digest, source_content, reader, source_options, source_notes,
        CAST(key AS VARCHAR), source_id, reader_version,
        coalesce(epoch_us(run_date), -1), coalesce(epoch_us(scored_at), -1),
        coalesce(epoch_us(imported_at), -1),
        coalesce(CAST(passed AS INTEGER), -1), CAST(whole_benchmark AS INTEGER),
        coalesce(format('{:a}', score), '-'), coalesce(format('{:a}', cost_usd), '-'),
        coalesce(format('{:a}', tokens), '-'), coalesce(format('{:a}', duration_s), '-'),
        coalesce(format('{:a}', run_cost_usd), '-')
    ))) AS VARCHAR)
FROM

-- name: faulty_rows
-- How many of the rows no history can have written.
SELECT
    count(*) FILTER (
        coalesce(benchmark, '') = '' OR coalesce(task_id, '') = '' OR coalesce(agent, '') = ''
        OR key IS NULL OR source_id IS NULL OR coalesce(attempt, -1) < 0
        OR kind IS NULL OR NOT list_contains($kinds, kind)
        OR (kind = 'valid') <> (score IS NOT NULL) OR NOT isfinite(coalesce(score, 0)))
FROM read_parquet($path);

-- name: other_sources
CREATE OR REPLACE TEMP TABLE other_sources AS
SELECT
    old, $last + row_number() OVER (ORDER BY old) AS new, name, digest, content, reader,
    reader_version, options, notes,
    coalesce(added_at, CAST(get_current_timestamp() AS TIMESTAMP)) AS added_at
FROM (
    SELECT
        source_id AS old, any_value(source) AS name, any_value(source_digest) AS digest,
        any_value(source_content) AS content, any_value(reader) AS reader,
        any_value(reader_version) AS reader_version, any_value(source_options) AS options,
        any_value(source_notes) AS notes, any_value(imported_at) AS added_at
    FROM read_parquet($path) GROUP BY source_id
    UNION ALL
    SELECT
        CAST(one->>0 AS INTEGER), one->>1, one->>2, one->>3, one->>4, CAST(one->>5 AS INTEGER),
        one->>6, one->>7, make_timestamp(CAST(one->>8 AS BIGINT))
    FROM (SELECT unnest(CAST($without AS JSON[])) AS one)
);

-- name: other_metrics
CREATE OR REPLACE TEMP TABLE other_metrics AS
SELECT
    unnest($numbers::INTEGER[]) AS metric, unnest($benchmarks::VARCHAR[]) AS benchmark,
    unnest($homes::VARCHAR[]) AS home, unnest($names::VARCHAR[]) AS name,
    unnest($keys::VARCHAR[]) AS key, unnest($lows::DOUBLE[]) AS low,
    unnest($highs::DOUBLE[]) AS high, unnest($ways::BOOLEAN[]) AS lower_is_better,
    unnest($declared::VARCHAR[]) AS declared, unnest($seen_lows::DOUBLE[]) AS seen_low,
    unnest($seen_highs::DOUBLE[]) AS seen_high;

-- name: stage_other
INSERT INTO incoming_metrics
SELECT metric, name, key, low, high, lower_is_better, declared FROM other_metrics;
CREATE OR REPLACE TEMP TABLE batch_rows AS
SELECT
    *,
    CAST(dense_rank() OVER (
        ORDER BY source_id, metric, benchmark, agent, model, scaffold, agent_version, settings,
            run_id, harness, harness_version, started, run_cost_usd, version, whole
    ) AS INTEGER) AS run,
    CAST(dense_rank() OVER (
        ORDER BY source_id, benchmark, task_id, task_digest, part) AS INTEGER) AS task
FROM (
    SELECT
        other_sources.new AS source_id, rows.benchmark, rows.task_id, rows.agent, rows.model,
        rows.scaffold, rows.agent_version, rows.settings, rows.run_id, rows.harness,
        rows.harness_version, rows.run_date AS started, rows.attempt,
        list_position($kinds, rows.kind) - 1 AS kind, rows.score, rows.passed, rows.cost_usd,
        rows.tokens, rows.duration_s, rows.run_cost_usd, rows.task_digest, '' AS source_key,
        other_metrics.metric, rows.part, rows.benchmark_version AS version,
        rows.whole_benchmark AS whole, rows.scored_at AS scored, rows.key AS known_key,
        rows.file_row_number AS place
    FROM read_parquet($path, file_row_number = true) AS rows
    JOIN other_sources ON other_sources.old = rows.source_id
    JOIN other_metrics ON
        other_metrics.benchmark = rows.benchmark AND other_metrics.name = rows.metric
        AND other_metrics.key = rows.metric_key
);

-- name: idle_metrics
-- Metrics of which there is no row are stated and seen all the same.
CREATE OR REPLACE TEMP TABLE idle_metrics AS
FROM other_metrics WHERE metric NOT IN (SELECT metric FROM incoming_runs);

-- name: join_sources
-- A source that is held already under the same name and content is that one.
UPDATE sources SET added_at = other_sources.added_at, notes = other_sources.notes
FROM other_sources WHERE sources.source_id = other_sources.new;
CREATE OR REPLACE TEMP TABLE same_sources AS
SELECT other_sources.new, min(sources.source_id) AS held
FROM other_sources
JOIN sources ON
    sources.source_id <= $last AND sources.name = other_sources.name
    AND sources.digest = other_sources.digest AND sources.content = other_sources.content
    AND sources.reader = other_sources.reader
    AND sources.reader_version = other_sources.reader_version
    AND sources.options = other_sources.options
    AND (sources.digest <> ''
        OR (sources.added_at = other_sources.added_at AND sources.notes = other_sources.notes))
GROUP BY other_sources.new;
UPDATE outcomes SET source_id = same_sources.held FROM same_sources
WHERE outcomes.source_id = same_sources.new AND outcomes.source_id > $last;
DELETE FROM sources WHERE source_id IN (SELECT new FROM same_sources);
DROP TABLE same_sources;
DROP TABLE other_sources;

-- name: join_idle_metrics
INSERT INTO benchmarks
SELECT
    (SELECT coalesce(max(benchmark_id), 0) FROM benchmarks) + row_number() OVER (ORDER BY home),
    home
FROM (SELECT DISTINCT home FROM idle_metrics)
WHERE home NOT IN (SELECT name FROM benchmarks);
INSERT INTO metrics
SELECT
    (SELECT coalesce(max(metric_id), 0) FROM metrics)
        + row_number() OVER (ORDER BY benchmark_id, found.name, found.key),
    benchmark_id, found.name, found.key, low, high, lower_is_better, declared, NULL, NULL
FROM (SELECT DISTINCT ON (home, name, key) * FROM idle_metrics ORDER BY ALL) AS found
JOIN benchmarks ON benchmarks.name = found.home
ANTI JOIN metrics ON
    metrics.benchmark_id = benchmarks.benchmark_id AND metrics.name = found.name
    AND metrics.key = found.key;
-- What was seen of an assumed scale, also in sources that were refused, counts against it here too.
UPDATE metrics
SET seen_low = least(coalesce(metrics.seen_low, found.low), found.low),
    seen_high = greatest(coalesce(metrics.seen_high, found.high), found.high)
FROM (
    SELECT benchmark_id, other_metrics.name, key, min(seen_low) AS low, max(seen_high) AS high
    FROM other_metrics JOIN benchmarks ON benchmarks.name = other_metrics.home
    WHERE seen_low IS NOT NULL
    GROUP BY ALL
) AS found
WHERE metrics.benchmark_id = found.benchmark_id AND metrics.name = found.name
    AND metrics.key = found.key AND metrics.declared = '';
DROP TABLE idle_metrics;
DROP TABLE other_metrics;

-- name: join_labels
UPDATE agents SET label = found.label
FROM (
    SELECT one->>0 AS name, one->>1 AS model, one->>2 AS scaffold, one->>3 AS version,
        one->>4 AS settings, one->>5 AS label
    FROM (SELECT unnest(CAST($labels AS JSON[])) AS one)
) AS found
WHERE agents.agent_id > $last AND agents.name = found.name AND agents.model = found.model
    AND agents.scaffold = found.scaffold AND agents.version = found.version
    AND agents.settings = found.settings;
