-- The incoming rows with their integer keys, without the names: they are as wide as the file, and
-- only a conflict needs them. Of the few rows that share a key the first is kept.
CREATE OR REPLACE TEMP TABLE resolved AS
SELECT
    incoming.source_id, agents.agent_id, tasks.task_id, runs.run_id, incoming.attempt,
    CAST(incoming.kind AS outcome_kind) AS kind, incoming.score, incoming.passed,
    incoming.cost_usd, incoming.tokens, incoming.duration_s,
    incoming.rowid AS place,
    md5_number_lower(
        CASE WHEN incoming.source_key <> ''
        THEN concat_ws(chr(31), 'source', incoming.benchmark, incoming.source_key)
        ELSE concat_ws(
            chr(31), 'place', incoming.benchmark, incoming.task_id, incoming.agent,
            incoming.model, incoming.scaffold, incoming.agent_version, incoming.settings,
            incoming.run_id, coalesce(CAST(epoch_us(incoming.started) AS VARCHAR), '-'),
            CAST(incoming.attempt AS VARCHAR))
        END
    ) AS key
FROM incoming
JOIN benchmarks ON benchmarks.name = incoming.benchmark
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

CREATE OR REPLACE TEMP TABLE repeated AS
SELECT key, min(place) AS first_place
FROM resolved
GROUP BY key
HAVING count(*) > 1;
