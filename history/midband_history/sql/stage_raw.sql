-- Checked rows of a file become incoming rows. A score beside an error is no information.
INSERT INTO incoming BY NAME
SELECT
    CAST($source_id AS INTEGER) AS source_id, benchmark, task_id, agent, model, scaffold, agent_version, settings, run_id, harness,
    harness_version, started, task_digest, source_key,
    CASE
    WHEN kind <> '' THEN list_position($kinds, kind) - 1
    WHEN known IS NULL THEN 4
    ELSE 0
    END AS kind,
    CASE WHEN kind IN ('', 'valid') THEN known END AS score,
    CASE WHEN kind IN ('', 'valid') THEN coalesce(passed, known >= 1) END AS passed,
    coalesce(
        attempt,
        row_number() OVER (
            PARTITION BY
                benchmark, task_id, agent, model, scaffold, agent_version, settings, run_id,
                started, attempt IS NULL
            ORDER BY place
        ) - 1
    ) AS attempt,
    CASE WHEN NOT isnan(cost_usd) THEN cost_usd END AS cost_usd,
    CASE WHEN NOT isnan(tokens) THEN tokens END AS tokens,
    CASE WHEN NOT isnan(duration_s) THEN duration_s END AS duration_s,
    CASE WHEN NOT isnan(run_cost_usd) THEN run_cost_usd END AS run_cost_usd
FROM (
    SELECT
        *,
        CASE
        WHEN score IS NOT NULL AND NOT isnan(score) THEN score
        WHEN score IS NULL AND passed IS NOT NULL THEN CAST(CAST(passed AS INTEGER) AS DOUBLE)
        END AS known
    FROM raw
)
ORDER BY place;
