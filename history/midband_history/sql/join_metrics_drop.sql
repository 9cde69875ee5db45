-- Attempts that are held by both metrics stay with the named one.
DELETE FROM outcomes
WHERE metric_id = $old AND key IN (SELECT key FROM outcomes WHERE metric_id = $new);
