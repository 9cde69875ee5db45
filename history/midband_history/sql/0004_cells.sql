-- The attempts of a run at a task by a metric, added up, so that rates and matrices need not read
-- every attempt. `cells.sql` keeps it right; what stands there and here is the same.
CREATE TABLE cells (
    run_id INTEGER NOT NULL,
    task_id INTEGER NOT NULL,
    metric_id INTEGER NOT NULL,
    valid INTEGER NOT NULL,
    without_score INTEGER NOT NULL,
    score DOUBLE,                  -- sum of the scores; NULL where there is none
    tried BIGINT,                  -- bit n for the valid attempt n; NULL where bits cannot say it
    solved BIGINT,                 -- bit n where its score is 1, and not 0
    cost_usd DOUBLE,               -- sums over valid attempts, and over how many of them
    with_cost INTEGER NOT NULL,
    duration_s DOUBLE,
    with_duration INTEGER NOT NULL,
    lost_usd DOUBLE                -- cost of the attempts without a score
);
INSERT INTO cells
SELECT
    run_id, task_id, metric_id, CAST(valid AS INTEGER) AS valid,
    CAST(without_score AS INTEGER) AS without_score,
    CASE WHEN plain THEN CAST(exact_score AS DOUBLE) / pow(2, 70) ELSE rough_score END AS score,
    CASE WHEN bits AND bit_count(coalesce(tried, 0)) = valid THEN coalesce(tried, 0) END AS tried,
    CASE WHEN bits AND bit_count(coalesce(tried, 0)) = valid THEN coalesce(solved, 0) END AS solved,
    CAST(exact_cost AS DOUBLE) / pow(2, 70) AS cost_usd, CAST(with_cost AS INTEGER) AS with_cost,
    CAST(exact_duration AS DOUBLE) / pow(2, 70) AS duration_s,
    CAST(with_duration AS INTEGER) AS with_duration, lost_usd
FROM (
    SELECT
        run_id, task_id, metric_id,
        count(*) FILTER (kind = 0) AS valid, count(*) FILTER (kind <> 0) AS without_score,
        coalesce(bool_and(
            score = 0 OR abs(score) BETWEEN 1e-6 AND 1e12) FILTER (kind = 0), true) AS plain,
        sum(CASE WHEN abs(score) <= 1e12 THEN CAST(score * pow(2, 70) AS HUGEINT) END)
            FILTER (kind = 0) AS exact_score,
        fsum(score) FILTER (kind = 0 AND NOT isnan(score)) AS rough_score,
        coalesce(bool_and(attempt BETWEEN 0 AND 62 AND coalesce(score IN (0, 1), false))
            FILTER (kind = 0), true) AS bits,
        bit_or(CASE WHEN attempt BETWEEN 0 AND 62 THEN 1::BIGINT << attempt END)
            FILTER (kind = 0) AS tried,
        bit_or(CASE WHEN attempt BETWEEN 0 AND 62 THEN 1::BIGINT << attempt END)
            FILTER (kind = 0 AND score = 1) AS solved,
        sum(CASE WHEN cost_usd BETWEEN 0 AND 1e12 THEN CAST(cost_usd * pow(2, 70) AS HUGEINT) END)
            FILTER (kind = 0) AS exact_cost,
        count(*) FILTER (kind = 0 AND cost_usd BETWEEN 0 AND 1e12) AS with_cost,
        sum(CASE WHEN duration_s BETWEEN 0 AND 1e12
            THEN CAST(duration_s * pow(2, 70) AS HUGEINT) END) FILTER (kind = 0) AS exact_duration,
        count(*) FILTER (kind = 0 AND duration_s BETWEEN 0 AND 1e12) AS with_duration,
        sum(cost_usd) FILTER (kind <> 0 AND cost_usd BETWEEN 0 AND 1e12) AS lost_usd
    FROM outcomes
    GROUP BY run_id, task_id, metric_id
)
ORDER BY run_id, metric_id, task_id;
