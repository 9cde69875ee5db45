INSERT INTO outcomes
SELECT
    agent_id, task_id, run_id, attempt, kind, score, passed, cost_usd, tokens, duration_s,
    source_id, key
FROM resolved
ANTI JOIN outcomes USING (key)
LEFT JOIN repeated USING (key)
WHERE first_place IS NULL OR first_place = place
ORDER BY agent_id, task_id, place;
