-- The incoming rows with their integer keys, without the names: they are as wide as the file, and
-- only a conflict needs them. The key is of the names as the source says them, so an alias made
-- later changes no key.
CREATE OR REPLACE TEMP TABLE resolved AS
SELECT
    incoming.source_id, agents.agent_id, tasks.task_id, runs.run_id, incoming.attempt,
    incoming.kind, incoming.score, incoming.passed,
    incoming.cost_usd, incoming.tokens, incoming.duration_s, numbered_metrics.metric_id,
    incoming.scored, incoming.rowid AS place,
    md5_number_lower(
        CASE WHEN incoming.source_key <> ''
        THEN concat_ws(
            chr(31), 'source', coalesce(incoming.said, incoming.benchmark), incoming.source_key)
        ELSE concat_ws(
            chr(31), 'place', coalesce(incoming.said, incoming.benchmark), incoming.task_id,
            incoming.agent,
            incoming.model, incoming.scaffold, incoming.agent_version, incoming.settings,
            incoming.run_id, coalesce(CAST(epoch_us(incoming.started) AS VARCHAR), '-'),
            CAST(incoming.attempt AS VARCHAR))
        END
    ) AS key
FROM incoming
JOIN benchmarks ON benchmarks.name = incoming.benchmark
JOIN numbered_metrics ON
    numbered_metrics.benchmark_id = benchmarks.benchmark_id
    AND numbered_metrics.metric = incoming.metric
JOIN tasks ON
    tasks.benchmark_id = benchmarks.benchmark_id AND tasks.name = incoming.task_id
    AND tasks.digest = incoming.task_digest
JOIN agents ON
    agents.name = incoming.agent AND agents.model = incoming.model
    AND agents.scaffold = incoming.scaffold AND agents.version = incoming.agent_version
    AND agents.settings = incoming.settings
JOIN runs ON
    runs.benchmark_id = benchmarks.benchmark_id AND runs.agent_id = agents.agent_id
    AND runs.name = incoming.run_id AND runs.started IS NOT DISTINCT FROM incoming.started;

-- Of the few rows that are one attempt, those of its newest scoring count, and of these the first
-- by each metric; where none counts, `chosen` is no place.
CREATE OR REPLACE TEMP TABLE repeated AS
WITH twice AS (
    SELECT key, max(scored) AS newest FROM resolved GROUP BY key HAVING count(*) > 1
)
SELECT
    key, metric_id,
    coalesce(min(place) FILTER (newest IS NULL OR scored = newest), -1) AS chosen
FROM resolved JOIN twice USING (key)
GROUP BY key, metric_id;
