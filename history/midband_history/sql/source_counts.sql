-- How many rows each source of this transaction staged, how many of them are new, and how many
-- stand in for attempts of an earlier reading.
SELECT staged.source_id, held, coalesce(fresh, 0) AS fresh, coalesce(again, 0) AS again
FROM (SELECT source_id, count(*) AS held FROM resolved GROUP BY source_id) AS staged
LEFT JOIN (
    SELECT
        source_id,
        count(*) FILTER (WHERE removed.key IS NULL) AS fresh,
        count(*) FILTER (WHERE removed.key IS NOT NULL) AS again
    FROM outcomes LEFT JOIN (SELECT DISTINCT key FROM removed) AS removed USING (key)
    WHERE source_id > $last
    GROUP BY source_id
) AS kept USING (source_id);
