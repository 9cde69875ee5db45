-- `metric` numbers the rows of incoming_metrics, from 0.
CREATE OR REPLACE TEMP TABLE incoming (
    source_id INTEGER, benchmark VARCHAR, task_id VARCHAR, agent VARCHAR,
    model VARCHAR, scaffold VARCHAR, agent_version VARCHAR, settings VARCHAR,
    run_id VARCHAR, harness VARCHAR, harness_version VARCHAR, started TIMESTAMP,
    attempt INTEGER, kind TINYINT, score DOUBLE, passed BOOLEAN,
    cost_usd DOUBLE, tokens DOUBLE, duration_s DOUBLE, run_cost_usd DOUBLE,
    task_digest VARCHAR, source_key VARCHAR, metric INTEGER DEFAULT 0,
    part VARCHAR DEFAULT '', version VARCHAR DEFAULT '', whole BOOLEAN DEFAULT false,
    scored TIMESTAMP, said VARCHAR
);
CREATE OR REPLACE TEMP TABLE incoming_metrics (
    metric INTEGER, name VARCHAR, key VARCHAR, low DOUBLE, high DOUBLE,
    lower_is_better BOOLEAN, declared VARCHAR
);
