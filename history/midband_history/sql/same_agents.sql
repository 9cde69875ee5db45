-- Sources with results of an agent of the incoming source that has the same content.
SELECT DISTINCT outcomes.source_id
FROM outcomes
JOIN (
    SELECT unnest(CAST($old AS INTEGER[])) AS old, unnest(CAST($new AS INTEGER[])) AS new
) AS copies ON copies.old = outcomes.source_id
JOIN runs USING (run_id)
JOIN benchmarks USING (benchmark_id)
JOIN agents ON agents.agent_id = runs.agent_id
JOIN (SELECT DISTINCT source_id, benchmark, agent FROM incoming) AS arrived ON
    arrived.source_id = copies.new AND arrived.benchmark = benchmarks.name
    AND arrived.agent = agents.name;
