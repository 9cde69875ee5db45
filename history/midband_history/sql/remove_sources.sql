-- The attempts of sources that are read anew, to tell afterwards what is new.
CREATE OR REPLACE TEMP TABLE removed AS
SELECT key, kind, run_id, metric_id, score FROM outcomes
WHERE list_contains(CAST($ids AS INTEGER[]), source_id);
