-- A result of an attempt that was scored later takes the place of the one that is held.
DELETE FROM outcomes
USING resolved
WHERE resolved.nth = 1 AND resolved.scored IS NOT NULL
    AND outcomes.key = resolved.key AND outcomes.metric_id = resolved.metric_id
    AND (outcomes.scored IS NULL OR outcomes.scored < resolved.scored)
    AND (outcomes.kind <> resolved.kind OR outcomes.score IS DISTINCT FROM resolved.score);
