INSERT INTO runs
SELECT
    (SELECT coalesce(max(run_id), 0) FROM runs)
        + row_number() OVER (ORDER BY benchmark_id, agent_id, started, name),
    benchmark_id, agent_id, name, harness, harness_version, started, cost_usd, version, whole
FROM (
    SELECT
        benchmark_id, agent_id, incoming.run_id AS name, started,
        max(harness) AS harness, max(harness_version) AS harness_version,
        max(run_cost_usd) AS cost_usd, max(incoming.version) AS version, bool_or(whole) AS whole
    FROM incoming
    JOIN benchmarks ON benchmarks.name = incoming.benchmark
    JOIN agents ON
        agents.name = incoming.agent AND agents.model = incoming.model
        AND agents.scaffold = incoming.scaffold AND agents.version = incoming.agent_version
        AND agents.settings = incoming.settings
    GROUP BY benchmark_id, agent_id, incoming.run_id, started
) AS found
WHERE NOT EXISTS (
    FROM runs
    WHERE runs.benchmark_id = found.benchmark_id AND runs.agent_id = found.agent_id
        AND runs.name = found.name AND runs.started IS NOT DISTINCT FROM found.started
);
