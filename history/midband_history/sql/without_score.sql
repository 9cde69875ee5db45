-- How many attempts of each agent at one benchmark have no score; by several metrics, once.
SELECT agent_id, CAST(sum(attempts) AS BIGINT)
FROM (
    SELECT outcomes.agent_id, outcomes.key, 1 AS attempts
    FROM outcomes JOIN runs USING (run_id)
    WHERE runs.benchmark_id = $benchmark_id
    GROUP BY outcomes.agent_id, outcomes.key
    HAVING bool_and(outcomes.kind <> 0)
)
GROUP BY agent_id;
