-- The agents that ran one benchmark by a date.
SELECT
    agents.agent_id, agents.label, agents.name, agents.model, agents.scaffold,
    min(started) AS first, CAST(coalesce(avg(runs.cost_usd), 'nan') AS DOUBLE) AS run_cost_usd
FROM runs JOIN agents USING (agent_id)
WHERE runs.benchmark_id = $benchmark_id
    AND (CAST($as_of AS TIMESTAMP) IS NULL OR started <= CAST($as_of AS TIMESTAMP))
GROUP BY ALL
ORDER BY agents.agent_id;
