CREATE OR REPLACE TEMP TABLE incoming (
    source_id INTEGER, benchmark VARCHAR, task_id VARCHAR, agent VARCHAR,
    model VARCHAR, scaffold VARCHAR, agent_version VARCHAR, settings VARCHAR,
    run_id VARCHAR, harness VARCHAR, harness_version VARCHAR, started TIMESTAMP,
    attempt INTEGER, kind VARCHAR, score DOUBLE, passed BOOLEAN,
    cost_usd DOUBLE, tokens DOUBLE, duration_s DOUBLE, run_cost_usd DOUBLE,
    task_digest VARCHAR, source_key VARCHAR
);
