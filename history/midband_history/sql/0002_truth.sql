-- Where results come from, what they are results of, and what was taken away again.
ALTER TABLE sources ADD COLUMN content VARCHAR DEFAULT '';         -- digest of the content alone
ALTER TABLE sources ADD COLUMN reader VARCHAR DEFAULT '';          -- importer; empty before 0.2
ALTER TABLE sources ADD COLUMN reader_version INTEGER DEFAULT 0;
ALTER TABLE sources ADD COLUMN options VARCHAR DEFAULT '';         -- what the person said, as JSON
ALTER TABLE sources ADD COLUMN notes VARCHAR DEFAULT '[]';         -- JSON list of [code, text]

ALTER TABLE runs ADD COLUMN version VARCHAR DEFAULT '';            -- of the benchmark, as declared
ALTER TABLE runs ADD COLUMN whole BOOLEAN DEFAULT false;           -- the run covered the benchmark

ALTER TABLE tasks ADD COLUMN part VARCHAR DEFAULT '';              -- subject or domain, if known

-- A metric is part of a benchmark's identity. Its seen range is over all of its results.
CREATE TABLE metrics (
    metric_id INTEGER NOT NULL,
    benchmark_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,         -- empty where no source and no person has named it
    key VARCHAR NOT NULL,
    low DOUBLE NOT NULL,
    high DOUBLE NOT NULL,
    lower_is_better BOOLEAN NOT NULL,
    declared VARCHAR NOT NULL,     -- who stated the scale: '', 'source' or 'user'
    seen_low DOUBLE,
    seen_high DOUBLE
);
INSERT INTO metrics
SELECT row_number() OVER (ORDER BY benchmark_id), benchmark_id, '', '', 0, 1, false, '', 0, 1
FROM benchmarks;

CREATE TABLE aliases (
    what VARCHAR NOT NULL,         -- 'agent' or 'benchmark'
    alias VARCHAR NOT NULL,
    name VARCHAR NOT NULL
);

CREATE TABLE removals (
    removed_at TIMESTAMP NOT NULL,
    what VARCHAR NOT NULL,
    attempts BIGINT NOT NULL
);

-- Kinds become numbers: 0 valid, 1 infra_error, 2 grader_error, 3 cancelled, 4 missing.
CREATE TABLE attempts (
    agent_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    run_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    kind TINYINT NOT NULL,
    score DOUBLE,                  -- on the scale of its metric; NULL unless kind is valid
    passed BOOLEAN,
    cost_usd DOUBLE,
    tokens DOUBLE,
    duration_s DOUBLE,
    source_id INTEGER NOT NULL,
    key UBIGINT NOT NULL,          -- of what names the attempt; unique within a metric
    metric_id INTEGER NOT NULL,
    scored TIMESTAMP               -- when it was scored, NULL where the source does not say
);
INSERT INTO attempts
SELECT
    outcomes.agent_id, outcomes.task_id, outcomes.run_id, outcomes.attempt,
    CASE CAST(outcomes.kind AS VARCHAR)
        WHEN 'valid' THEN 0 WHEN 'infra_error' THEN 1 WHEN 'grader_error' THEN 2
        WHEN 'cancelled' THEN 3 ELSE 4 END,
    outcomes.score, outcomes.passed, outcomes.cost_usd, outcomes.tokens, outcomes.duration_s,
    outcomes.source_id, outcomes.key, metrics.metric_id, NULL
FROM outcomes
JOIN runs USING (run_id)
JOIN metrics USING (benchmark_id)
ORDER BY outcomes.rowid;
DROP TABLE outcomes;
ALTER TABLE attempts RENAME TO outcomes;
DROP TYPE outcome_kind;

-- A benchmark that was run from a package of evaluations is the same one.
UPDATE benchmarks SET name = substr(name, 15)
WHERE starts_with(name, 'inspect_evals/') AND length(name) > 14
    AND substr(name, 15) NOT IN (SELECT name FROM benchmarks);
