-- An attempt that was scored again: the later scoring takes the place of what is held, whatever the
-- metric of either.
DELETE FROM outcomes
USING (
    FROM resolved LEFT JOIN repeated USING (key, metric_id)
    WHERE scored IS NOT NULL AND (chosen IS NULL OR chosen = place)
) AS newer
WHERE outcomes.key = newer.key
    AND (outcomes.scored IS NULL OR outcomes.scored < newer.scored)
    AND (outcomes.metric_id <> newer.metric_id OR outcomes.kind <> newer.kind
        OR outcomes.score IS DISTINCT FROM newer.score);
