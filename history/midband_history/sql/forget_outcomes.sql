CREATE OR REPLACE TEMP TABLE taken_away AS
SELECT outcomes.metric_id, outcomes.score
FROM outcomes JOIN forgotten USING (run_id, source_id);
DELETE FROM outcomes
USING forgotten
WHERE outcomes.run_id = forgotten.run_id AND outcomes.source_id = forgotten.source_id;
