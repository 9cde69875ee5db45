-- A source of which something was removed is no longer known, so that it can be imported again. So
-- are sources that may hold the same attempts and were passed over for it.
UPDATE sources SET digest = '', content = ''
WHERE source_id IN (SELECT source_id FROM forgotten)
    OR source_id NOT IN (SELECT source_id FROM outcomes);
