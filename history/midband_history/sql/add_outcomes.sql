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
