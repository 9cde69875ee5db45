-- A source of which something was removed is no longer known, so that it can be imported again. Nor
-- are sources that may hold the same attempts and were passed over for it: those of which nothing is
-- left, and those with results of the same agents. Read again, these replace what they gave. What
-- midband 0.1 has read is read anew at any rate, and is found by its digest then.
UPDATE sources SET digest = ''
WHERE source_id < $first AND (
    source_id NOT IN (SELECT source_id FROM outcomes)
    OR (content <> '' AND source_id IN (
        SELECT source_id FROM forgotten
        UNION ALL
        SELECT outcomes.source_id FROM outcomes JOIN runs USING (run_id)
        WHERE runs.agent_id IN (
            SELECT agent_id FROM runs WHERE run_id IN (SELECT run_id FROM forgotten)))));
