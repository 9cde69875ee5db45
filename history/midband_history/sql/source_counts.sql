-- How many rows each source of this transaction held, and how many of them were new.
SELECT staged.source_id, held, coalesce(added, 0) AS added
FROM (SELECT source_id, count(*) AS held FROM resolved GROUP BY source_id) AS staged
LEFT JOIN (
    SELECT source_id, count(*) AS added FROM outcomes WHERE source_id > $last GROUP BY source_id
) AS kept USING (source_id);
