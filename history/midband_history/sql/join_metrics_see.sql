UPDATE metrics
SET seen_low = least(metrics.seen_low, other.seen_low),
    seen_high = greatest(metrics.seen_high, other.seen_high)
FROM metrics AS other
WHERE other.metric_id = $old AND metrics.metric_id = $new;
