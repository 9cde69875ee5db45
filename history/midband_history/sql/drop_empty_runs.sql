-- A run whose every attempt was held already under another run (one sample in two logs).
DELETE FROM runs WHERE run_id > $first AND run_id NOT IN (SELECT run_id FROM outcomes);
