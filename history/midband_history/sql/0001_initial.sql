CREATE TYPE outcome_kind AS ENUM ('valid', 'infra_error', 'grader_error', 'cancelled', 'missing');

CREATE TABLE sources (
    source_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,       -- empty where the records came from memory
    added_at TIMESTAMP NOT NULL
);

CREATE TABLE benchmarks (benchmark_id INTEGER NOT NULL, name VARCHAR NOT NULL);

-- One row a content: a task whose content changed keeps its name and gets a second row.
CREATE TABLE tasks (
    task_id INTEGER NOT NULL,
    benchmark_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    digest VARCHAR NOT NULL        -- empty where unknown
);

CREATE TABLE agents (
    agent_id INTEGER NOT NULL,
    label VARCHAR NOT NULL,        -- unique: the name, or name#digest for its later namesakes
    name VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    scaffold VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    settings VARCHAR NOT NULL      -- canonical JSON, empty where unknown
);

CREATE TABLE runs (
    run_id INTEGER NOT NULL,
    benchmark_id INTEGER NOT NULL,
    agent_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    harness VARCHAR NOT NULL,
    harness_version VARCHAR NOT NULL,
    started TIMESTAMP,             -- UTC, NULL where unknown
    cost_usd DOUBLE                -- of the whole run, where the source says so
);

-- One row an attempt. No primary key: it would cost 3.5-11x on import; `key` is kept unique by the
-- anti-join of the import.
CREATE TABLE outcomes (
    agent_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    run_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    kind outcome_kind NOT NULL,
    score DOUBLE,                  -- in [0, 1]; NULL unless kind is valid
    passed BOOLEAN,
    cost_usd DOUBLE,
    tokens DOUBLE,
    duration_s DOUBLE,
    source_id INTEGER NOT NULL,
    key UBIGINT NOT NULL           -- of what names the attempt, not of its result
);
