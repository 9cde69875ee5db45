-- A result of an attempt that was scored later takes the place of the one that is held.
DELETE FROM outcomes
USING (
    FROM resolved LEFT JOIN repeated USING (key, metric_id)
    WHERE scored IS NOT NULL AND (chosen IS NULL OR chosen = place)
) AS newer
WHERE outcomes.key = newer.key AND outcomes.metric_id = newer.metric_id
    AND (outcomes.scored IS NULL OR outcomes.scored < newer.scored)
    AND (outcomes.kind <> newer.kind OR outcomes.score IS DISTINCT FROM newer.score);
