-- Widen the range in which values of each metric were seen.
UPDATE metrics
SET seen_low = least(coalesce(metrics.seen_low, found.low), found.low),
    seen_high = greatest(coalesce(metrics.seen_high, found.high), found.high)
FROM (
    SELECT metric_id, min(score) AS low, max(score) AS high FROM resolved
    WHERE score IS NOT NULL GROUP BY metric_id
) AS found
WHERE metrics.metric_id = found.metric_id;
