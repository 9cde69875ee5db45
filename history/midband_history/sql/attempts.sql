-- Every attempt at one benchmark by the chosen agents, in the order in which they count. An attempt
-- that has no score, and no metric by the source's word, is one by every metric.
SELECT
    outcomes.agent_id, outcomes.task_id,
    CAST(outcomes.kind = 0 AS TINYINT) AS valid,
    CAST(runs.version = $version AND $version <> '' AS TINYINT) AS same_version,
    CAST(coalesce(outcomes.score, 'nan') AS DOUBLE) AS score,
    CAST(coalesce(outcomes.cost_usd, 'nan') AS DOUBLE) AS cost_usd,
    CAST(coalesce(outcomes.duration_s, 'nan') AS DOUBLE) AS duration_s
FROM outcomes JOIN runs USING (run_id)
WHERE runs.benchmark_id = $benchmark_id
    AND (outcomes.metric_id = $metric_id
        OR (outcomes.kind <> 0 AND outcomes.metric_id = CAST($unnamed_id AS INTEGER)))
    AND (CAST($as_of AS TIMESTAMP) IS NULL OR runs.started <= CAST($as_of AS TIMESTAMP))
    AND list_contains(CAST($agent_ids AS INTEGER[]), outcomes.agent_id)
ORDER BY runs.started NULLS LAST, runs.name, outcomes.attempt, outcomes.key;
