-- What is stated and seen of either holds for both.
UPDATE metrics
SET seen_low = least(metrics.seen_low, other.seen_low),
    seen_high = greatest(metrics.seen_high, other.seen_high),
    low = CASE WHEN metrics.declared = '' THEN other.low ELSE metrics.low END,
    high = CASE WHEN metrics.declared = '' THEN other.high ELSE metrics.high END,
    declared = CASE WHEN metrics.declared = '' THEN other.declared ELSE metrics.declared END
FROM metrics AS other
WHERE other.metric_id = $old AND metrics.metric_id = $new;
