-- The range of each metric over what is left.
UPDATE metrics SET seen_low = found.low, seen_high = found.high
FROM (
    SELECT metrics.metric_id, min(score) AS low, max(score) AS high
    FROM metrics LEFT JOIN outcomes USING (metric_id)
    GROUP BY metrics.metric_id
) AS found
WHERE metrics.metric_id = found.metric_id;
