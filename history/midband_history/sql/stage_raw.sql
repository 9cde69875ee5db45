-- Checked rows of a file become incoming rows. A score beside an error is no information.
INSERT INTO incoming BY NAME
SELECT
    CAST($source_id AS INTEGER) AS source_id, benchmark, task_id, agent, model, scaffold, agent_version, settings, run_id, harness,
    harness_version, known_start AS started, task_digest, source_key,
    CAST($version AS VARCHAR) AS version,
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
    CASE WHEN duration_s BETWEEN 0 AND $most_duration_s THEN duration_s END AS duration_s,
    CASE WHEN run_cost_usd BETWEEN 0 AND $most_run_cost_usd THEN run_cost_usd END AS run_cost_usd
FROM (
    SELECT
        *,
        CASE
        WHEN score IS NOT NULL AND NOT isnan(score) THEN score
        WHEN score IS NULL AND passed IS NOT NULL THEN CASE WHEN passed THEN $best ELSE $worst END
        END AS known,
        CASE
        WHEN started >= CAST($first_date AS TIMESTAMP) AND started < CAST($last_date AS TIMESTAMP)
            THEN started
        END AS known_start
    FROM numbered
);
