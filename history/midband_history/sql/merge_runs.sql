-- A run that both benchmarks know under one name and date becomes one run.
CREATE OR REPLACE TEMP TABLE moved_runs AS
SELECT theirs.run_id AS old, min(ours.run_id) AS new
FROM runs AS theirs
JOIN runs AS ours ON
    ours.agent_id = theirs.agent_id AND ours.name = theirs.name
    AND ours.started IS NOT DISTINCT FROM theirs.started
WHERE theirs.benchmark_id = $old AND ours.benchmark_id = $new
GROUP BY theirs.run_id;
UPDATE outcomes SET run_id = moved_runs.new FROM moved_runs
WHERE outcomes.run_id = moved_runs.old;
DELETE FROM runs WHERE run_id IN (SELECT old FROM moved_runs);
UPDATE runs SET benchmark_id = $new WHERE benchmark_id = $old;
DROP TABLE moved_runs;
