-- Who ran each of some benchmarks.
SELECT DISTINCT
    benchmarks.name, agents.agent_id, agents.name, agents.model, agents.scaffold, agents.version,
    agents.settings
FROM runs
JOIN benchmarks USING (benchmark_id)
JOIN agents USING (agent_id)
WHERE list_contains(CAST($benchmarks AS VARCHAR[]), benchmarks.name);
