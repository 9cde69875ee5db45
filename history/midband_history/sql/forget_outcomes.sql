DELETE FROM outcomes
USING forgotten
WHERE outcomes.run_id = forgotten.run_id AND outcomes.source_id = forgotten.source_id;
