-- Statements that check a file of rows and stage it.

-- name: survey_raw
-- One pass over the file: how many rows there are, are at fault, have no attempt number, no score, the range
-- of the scores, and how many dates and amounts are absurd.
SELECT
    count(*),
    count(*) FILTER (
        task_id = '' OR agent = '' OR benchmark = '' OR contains(task_id || agent, chr(0))
        OR (kind <> '' AND NOT list_contains($kinds, kind))
        OR (score_text IS NOT NULL
            AND (score IS NULL OR (NOT isnan(score) AND NOT score BETWEEN $low AND $high)))
        OR (passed_text IS NOT NULL AND passed IS NULL)
        OR (kind = 'valid' AND (score IS NULL OR isnan(score)) AND passed IS NULL)
        OR (run_date_text IS NOT NULL AND started IS NULL)
        OR (attempt_text IS NOT NULL AND (attempt IS NULL OR attempt < 0))
        OR (cost_usd_text IS NOT NULL AND cost_usd IS NULL)
        OR (tokens_text IS NOT NULL AND tokens IS NULL)
        OR (duration_s_text IS NOT NULL AND duration_s IS NULL)
        OR (run_cost_usd_text IS NOT NULL AND run_cost_usd IS NULL)
    ),
    count(*) FILTER (attempt IS NULL),
    count(*) FILTER (
        kind = 'missing' OR (kind = '' AND (isnan(score) OR (score IS NULL AND passed IS NULL)))
    ),
    min(score) FILTER (NOT isnan(score)),
    max(score) FILTER (NOT isnan(score)),
    count(*) FILTER (
        NOT (started >= CAST($first_date AS TIMESTAMP) AND started < CAST($last_date AS TIMESTAMP))
    ),
    count(*) FILTER (NOT isnan(cost_usd) AND NOT cost_usd BETWEEN 0 AND $most_cost_usd),
    count(*) FILTER (NOT isnan(tokens) AND NOT tokens BETWEEN 0 AND $most_tokens),
    count(*) FILTER (NOT isnan(duration_s) AND NOT duration_s BETWEEN 0 AND $most_duration_s),
    count(*) FILTER (NOT isnan(run_cost_usd) AND NOT run_cost_usd BETWEEN 0 AND $most_run_cost_usd)
FROM raw;

-- name: check_raw
-- The first row with a value that cannot be read: file, place, column, value, what was expected.
WITH judged AS (
    SELECT
        member, place,
        CASE
        WHEN task_id = '' THEN ['task_id', '', 'a task id']
        WHEN agent = '' THEN ['agent', '', 'the name of an agent']
        WHEN benchmark = '' THEN ['benchmark', '', 'the name of a benchmark']
        WHEN contains(task_id || agent, chr(0))
            THEN ['task_id', replace(task_id, chr(0), '?'), 'a text without NUL bytes']
        WHEN kind <> '' AND NOT list_contains($kinds, kind)
            THEN ['kind', kind, 'one of ' || array_to_string($kinds, ', ')]
        WHEN score_text IS NOT NULL
            AND (score IS NULL OR (NOT isnan(score) AND NOT score BETWEEN $low AND $high))
            THEN ['score', score_text, 'a score in [' || format('{:g}', $low::DOUBLE) || ', ' || format('{:g}', $high::DOUBLE) || ']']
        WHEN passed_text IS NOT NULL AND passed IS NULL
            THEN ['passed', passed_text, 'true or false']
        WHEN kind = 'valid' AND (score IS NULL OR isnan(score)) AND passed IS NULL
            THEN ['score', coalesce(score_text, ''), 'a score for a valid outcome']
        WHEN run_date_text IS NOT NULL AND started IS NULL
            THEN ['run_date', run_date_text, 'an ISO date']
        WHEN attempt_text IS NOT NULL AND (attempt IS NULL OR attempt < 0)
            THEN ['attempt', attempt_text, 'a whole number from 0']
        WHEN cost_usd_text IS NOT NULL AND cost_usd IS NULL
            THEN ['cost_usd', cost_usd_text, 'a number']
        WHEN tokens_text IS NOT NULL AND tokens IS NULL
            THEN ['tokens', tokens_text, 'a number']
        WHEN duration_s_text IS NOT NULL AND duration_s IS NULL
            THEN ['duration_s', duration_s_text, 'a number']
        WHEN run_cost_usd_text IS NOT NULL AND run_cost_usd IS NULL
            THEN ['run_cost_usd', run_cost_usd_text, 'a number']
        END AS fault
    FROM raw
)
SELECT member, place, fault[1], fault[2], fault[3]
FROM judged
WHERE fault IS NOT NULL
ORDER BY member, place
LIMIT 1;

-- name: number_attempts
-- Rows without an attempt number are counted down the file.
CREATE OR REPLACE TEMP VIEW numbered AS
SELECT * REPLACE (
    coalesce(
        attempt,
        row_number() OVER (
            PARTITION BY
                member, benchmark, task_id, agent, model, scaffold, agent_version, settings, run_id,
                started, attempt IS NULL
            ORDER BY place
        ) - 1
    ) AS attempt
)
FROM raw;

-- name: numbered
-- Every row has its attempt number.
CREATE OR REPLACE TEMP VIEW numbered AS FROM raw;

-- name: name_raw
-- The names of a checked file: who ran, and what. One pass finds both.
CREATE OR REPLACE TEMP TABLE named AS
SELECT
    grouping(task_id) = 1 AS of_run, min(place) AS place, benchmark, agent, model, scaffold,
    agent_version, settings, run_id, harness, harness_version, started, run_cost_usd, task_id,
    task_digest
FROM (
    SELECT
        * REPLACE (
            CAST(member AS BIGINT) << 40 | place AS place,
            CASE
            WHEN started >= CAST($first_date AS TIMESTAMP)
                AND started < CAST($last_date AS TIMESTAMP) THEN started
            END AS started,
            CASE WHEN run_cost_usd BETWEEN 0 AND $most_run_cost_usd THEN run_cost_usd END
                AS run_cost_usd
        )
    FROM raw
)
GROUP BY GROUPING SETS (
    (benchmark, agent, model, scaffold, agent_version, settings, run_id, harness,
        harness_version, started, run_cost_usd),
    (benchmark, task_id, task_digest)
);

-- name: name_runs
INSERT INTO incoming_runs BY NAME
SELECT
    row_number() OVER (ORDER BY place) AS run, CAST($source_id AS INTEGER) AS source_id,
    CAST($version AS VARCHAR) AS version,
    * EXCLUDE (of_run, task_id, task_digest)
FROM named WHERE of_run;

-- name: name_tasks
INSERT INTO incoming_tasks BY NAME
SELECT
    row_number() OVER (ORDER BY place) AS task, CAST($source_id AS INTEGER) AS source_id, place,
    benchmark, task_id, task_digest
FROM named WHERE NOT of_run;

-- name: stage_raw
-- Checked rows of a file become incoming rows; `same_run` and `same_task` compare the names that
-- tell runs and tasks apart, mostly one of each. A score beside an error is no information.
INSERT INTO incoming BY NAME
SELECT
    CAST($source_id AS INTEGER) AS source_id, run, task, CAST(member AS BIGINT) << 40 | place AS place,
    source_key,
    CASE
    WHEN $errors_fail AND kind IN ('infra_error', 'grader_error') THEN 0
    WHEN kind <> '' THEN list_position($kinds, kind) - 1
    WHEN known IS NULL THEN 4
    ELSE 0
    END AS kind,
    CASE
    WHEN kind IN ('', 'valid') THEN known
    WHEN $errors_fail AND kind IN ('infra_error', 'grader_error') THEN $worst
    END AS score,
    CASE
    WHEN kind IN ('', 'valid') THEN coalesce(passed, known = $best)
    WHEN $errors_fail AND kind IN ('infra_error', 'grader_error') THEN false
    END AS passed,
    attempt,
    CASE WHEN cost_usd BETWEEN 0 AND $most_cost_usd THEN cost_usd END AS cost_usd,
    CASE WHEN tokens BETWEEN 0 AND $most_tokens THEN tokens END AS tokens,
    CASE WHEN duration_s BETWEEN 0 AND $most_duration_s THEN duration_s END AS duration_s
FROM (
    SELECT
        checked.*, incoming_runs.run, incoming_tasks.task,
        CASE
        WHEN score IS NOT NULL AND NOT isnan(score) THEN score
        WHEN score IS NULL AND passed IS NOT NULL THEN CASE WHEN passed THEN $best ELSE $worst END
        END AS known
    FROM (
        SELECT
            * REPLACE (
                CASE
                WHEN started >= CAST($first_date AS TIMESTAMP)
                    AND started < CAST($last_date AS TIMESTAMP) THEN started
                END AS started,
                CASE WHEN run_cost_usd BETWEEN 0 AND $most_run_cost_usd THEN run_cost_usd END
                    AS run_cost_usd
            )
        FROM numbered
    ) AS checked
    JOIN incoming_runs ON {same_run}
    JOIN incoming_tasks ON {same_task}
);

-- name: drop_raw
DROP VIEW numbered;
DROP VIEW raw;
DROP TABLE named;

-- name: near_names
-- Tasks of one benchmark whose ids differ as `1` and `1.0` do, where this file holds one of them.
WITH arrived AS (
    SELECT DISTINCT benchmark, task_id FROM incoming_tasks
),
known AS (
    FROM arrived
    UNION
    SELECT benchmarks.name, tasks.name
    FROM tasks JOIN benchmarks USING (benchmark_id)
    WHERE benchmarks.name IN (SELECT benchmark FROM arrived)
),
pairs AS (
    SELECT benchmark, regexp_replace(task_id, '\.0+$', '') AS whole, task_id AS point
    FROM known
    WHERE regexp_full_match(task_id, '-?\d+\.0+')
)
SELECT pairs.benchmark, whole, point
FROM pairs
JOIN known ON known.benchmark = pairs.benchmark AND known.task_id = whole
WHERE (pairs.benchmark, whole) IN (FROM arrived) OR (pairs.benchmark, point) IN (FROM arrived)
ORDER BY ALL;
