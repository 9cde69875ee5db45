CREATE OR REPLACE TEMP TABLE moved_metrics AS
SELECT theirs.metric_id AS old, ours.metric_id AS new
FROM metrics AS theirs
JOIN metrics AS ours ON ours.name = theirs.name AND ours.key = theirs.key
WHERE theirs.benchmark_id = $old AND ours.benchmark_id = $new;
UPDATE outcomes SET metric_id = moved_metrics.new FROM moved_metrics
WHERE outcomes.metric_id = moved_metrics.old;
UPDATE metrics
SET seen_low = least(metrics.seen_low, theirs.seen_low),
    seen_high = greatest(metrics.seen_high, theirs.seen_high),
    low = CASE WHEN metrics.declared = '' THEN theirs.low ELSE metrics.low END,
    high = CASE WHEN metrics.declared = '' THEN theirs.high ELSE metrics.high END,
    declared = CASE WHEN metrics.declared = '' THEN theirs.declared ELSE metrics.declared END
FROM moved_metrics JOIN metrics AS theirs ON theirs.metric_id = moved_metrics.old
WHERE metrics.metric_id = moved_metrics.new;
DELETE FROM metrics WHERE metric_id IN (SELECT old FROM moved_metrics);
UPDATE metrics SET benchmark_id = $new WHERE benchmark_id = $old;
DROP TABLE moved_metrics;
