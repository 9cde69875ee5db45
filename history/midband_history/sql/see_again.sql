-- The range of each metric of which results were taken away, over what is left. An end that these
-- results did not give stands: it is of a source that was refused.
UPDATE metrics
SET seen_low = CASE WHEN found.low IS NULL OR metrics.seen_low >= gone.low
        THEN found.low ELSE metrics.seen_low END,
    seen_high = CASE WHEN found.high IS NULL OR metrics.seen_high <= gone.high
        THEN found.high ELSE metrics.seen_high END
FROM (
    SELECT metric_id, min(score) AS low, max(score) AS high
    FROM taken_away WHERE score IS NOT NULL GROUP BY metric_id
) AS gone
LEFT JOIN (
    SELECT metric_id, min(score) AS low, max(score) AS high FROM outcomes
    WHERE metric_id IN (SELECT metric_id FROM taken_away) GROUP BY metric_id
) AS found USING (metric_id)
WHERE metrics.metric_id = gone.metric_id;
