-- Statements that keep the table `cells` right, and that add up what it holds.

-- name: drop_cells
DELETE FROM cells WHERE run_id IN (SELECT run_id FROM touched_runs);

-- name: counted_cells
-- The attempts of runs, added up by task and metric. Sums are exact before they are rounded once, so
-- that no order of import changes them: each value is a whole number of 2^-70, which cuts nothing
-- off above 1e-6. A score below that, or too large for it, is added up as it is.
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
    WHERE run_id IN (SELECT run_id FROM touched_runs)
    GROUP BY run_id, task_id, metric_id
)
ORDER BY run_id, metric_id, task_id

-- name: wrong_cells
-- How many rows of `cells` are not what their attempts give; `counted` is what they give.
SELECT count(*)
FROM counted
FULL JOIN (
    SELECT run_id, task_id, metric_id, count(*) AS copies, any_value(COLUMNS([
        'valid', 'without_score', 'score', 'tried', 'solved', 'cost_usd', 'with_cost', 'duration_s',
        'with_duration', 'lost_usd']))
    FROM cells GROUP BY run_id, task_id, metric_id
) AS held USING (run_id, task_id, metric_id)
WHERE coalesce(copies, 0) <> 1
    OR counted.valid IS DISTINCT FROM held.valid
    OR counted.without_score IS DISTINCT FROM held.without_score
    OR counted.tried IS DISTINCT FROM held.tried
    OR counted.solved IS DISTINCT FROM held.solved
    OR counted.with_cost IS DISTINCT FROM held.with_cost
    OR counted.with_duration IS DISTINCT FROM held.with_duration
    OR NOT coalesce(abs(counted.score - held.score) <= 1e-9 * abs(held.score),
        counted.score IS NULL AND held.score IS NULL)
    OR NOT coalesce(abs(counted.cost_usd - held.cost_usd) <= 1e-9 * abs(held.cost_usd),
        counted.cost_usd IS NULL AND held.cost_usd IS NULL)
    OR NOT coalesce(abs(counted.duration_s - held.duration_s) <= 1e-9 * abs(held.duration_s),
        counted.duration_s IS NULL AND held.duration_s IS NULL)
    OR NOT coalesce(abs(counted.lost_usd - held.lost_usd) <= 1e-9 * abs(held.lost_usd),
        counted.lost_usd IS NULL AND held.lost_usd IS NULL);

-- name: runs_of_lines
-- The runs of the chosen agents by a date, and their places in the order in which attempts count.
-- `alike` runs of one line have one name and one date: their attempts come one by one in turn.
WITH wanted AS (
    SELECT unnest(CAST($agent_ids AS INTEGER[])) AS agent_id,
        unnest(CAST($lines AS INTEGER[])) AS line
)
SELECT
    run_id, line, version = $version AND $version <> '' AS same_version,
    row_number() OVER (PARTITION BY line ORDER BY started NULLS LAST, name, run_id) - 1 AS nth,
    count(*) OVER (PARTITION BY line, started, name) AS alike
FROM runs
JOIN wanted USING (agent_id)
WHERE benchmark_id = $benchmark_id
    AND (CAST($as_of AS TIMESTAMP) IS NULL OR started <= CAST($as_of AS TIMESTAMP))
ORDER BY run_id;

-- name: cells_of_runs
-- An attempt that has no score, and no metric by the source's word, is one by every metric.
SELECT
    run_id, task_id, CASE WHEN metric_id = $metric_id THEN valid ELSE 0 END AS valid,
    without_score, tried IS NULL AND metric_id = $metric_id AS without_bits,
    CASE WHEN metric_id = $metric_id THEN coalesce(tried, 0) ELSE 0 END AS tried,
    CASE WHEN metric_id = $metric_id THEN coalesce(solved, 0) ELSE 0 END AS solved,
    CASE WHEN metric_id = $metric_id THEN coalesce(cost_usd, 0) ELSE 0 END AS cost_usd,
    CASE WHEN metric_id = $metric_id THEN with_cost ELSE 0 END AS with_cost,
    CASE WHEN metric_id = $metric_id THEN coalesce(duration_s, 0) ELSE 0 END AS duration_s,
    CASE WHEN metric_id = $metric_id THEN with_duration ELSE 0 END AS with_duration
FROM cells
WHERE run_id BETWEEN $first AND $last
    AND run_id IN (SELECT unnest(CAST($run_ids AS INTEGER[])))
    AND (metric_id = $metric_id
        OR (without_score > 0 AND metric_id = CAST($unnamed_id AS INTEGER)));

-- name: widest_cell
-- How many valid attempts the fullest cell of a matrix has at most.
SELECT coalesce(max(attempts), 0)
FROM (
    SELECT sum(valid) AS attempts
    FROM cells
    JOIN (
        SELECT unnest(CAST($run_ids AS INTEGER[])) AS run_id,
            unnest(CAST($lines AS INTEGER[])) AS line
    ) AS wanted USING (run_id)
    JOIN (
        SELECT unnest(CAST($task_ids AS INTEGER[])) AS task_id,
            unnest(CAST($columns AS INTEGER[])) AS place
    ) AS tasks USING (task_id)
    WHERE metric_id = $metric_id
    GROUP BY line, place
);

-- name: widest_single
-- The same, where every cell of the matrix is of one run and one content of a task.
SELECT coalesce(max(valid), 0) FROM cells
WHERE metric_id = $metric_id AND run_id IN (SELECT unnest(CAST($run_ids AS INTEGER[])));

-- name: chosen_cells
-- The cells of the chosen agents at the tasks of a version; what follows reads them. The same
-- attempts count as in a matrix, with their scores brought from $worst to $best to [0, 1].
-- `by_label` tasks count under their version only.
WITH wanted_tasks AS (
    SELECT unnest(CAST($task_ids AS INTEGER[])) AS task_id,
        unnest(CAST($columns AS INTEGER[])) AS place,
        unnest(CAST($by_label AS BOOLEAN[])) AS by_label
),
wanted_runs AS (
    SELECT unnest(CAST($run_ids AS INTEGER[])) AS run_id,
        unnest(CAST($lines AS INTEGER[])) AS line,
        unnest(CAST($same_version AS BOOLEAN[])) AS same_version
),
chosen AS NOT MATERIALIZED (
    SELECT
        line, place, CASE WHEN metric_id = $metric_id THEN valid ELSE 0 END AS attempts,
        without_score, CASE WHEN metric_id = $metric_id THEN cells.score END AS score,
        CASE WHEN metric_id = $metric_id THEN cells.cost_usd END AS cost_usd, with_cost,
        CASE WHEN metric_id = $metric_id THEN cells.duration_s END AS duration_s, with_duration
    FROM cells
    JOIN wanted_runs USING (run_id)
    JOIN wanted_tasks USING (task_id)
    WHERE run_id BETWEEN $first AND $last
        AND (metric_id = $metric_id
            OR (without_score > 0 AND metric_id = CAST($unnamed_id AS INTEGER)))
        AND (NOT by_label OR same_version)
),

-- name: joined_cells
-- Several runs of one agent, or contents of one task, make up one cell of the matrix.
added AS MATERIALIZED (
    SELECT
        line, place, CAST(sum(attempts) AS BIGINT) AS attempts,
        CAST(sum(without_score) AS BIGINT) AS without_score,
        CASE WHEN bool_and(score = 0 OR abs(score) BETWEEN 1e-6 AND 1e12)
        THEN CAST(sum(CASE WHEN abs(score) <= 1e12 THEN CAST(score * pow(2, 70) AS HUGEINT) END)
            AS DOUBLE) / pow(2, 70)
        ELSE fsum(score) END AS score,
        CAST(sum(CAST(cost_usd * pow(2, 70) AS HUGEINT)) AS DOUBLE) / pow(2, 70) AS cost_usd,
        sum(with_cost) FILTER (cost_usd IS NOT NULL) AS with_cost,
        CAST(sum(CAST(duration_s * pow(2, 70) AS HUGEINT)) AS DOUBLE) / pow(2, 70) AS duration_s,
        sum(with_duration) FILTER (duration_s IS NOT NULL) AS with_duration
    FROM chosen GROUP BY line, place
),

-- name: single_cells
added AS NOT MATERIALIZED (FROM chosen),

-- name: scored_cells
scored AS NOT MATERIALIZED (
    SELECT
        line, place, attempts, without_score,
        CASE WHEN attempts > 0 THEN least(greatest(
            (coalesce(score, 0) - attempts * $worst) / ($best - $worst) / attempts, 0), 1)
        END AS score,
        cost_usd / nullif(with_cost, 0) AS cost_usd,
        duration_s / nullif(with_duration, 0) AS duration_s
    FROM added
)

-- name: rates_of_tasks
-- An agent without any score here is no agent of the benchmark; a task it tried in vain stays.
-- Sums are whole numbers, of 2^-100 and 2^-70, so that they do not depend on an order.
SELECT rates.*, CAST(coalesce(failed.without_score, 0) AS BIGINT) AS without_score
FROM (
    SELECT
        place, coalesce(sum(CAST(score * pow(2, 100) AS HUGEINT)), 0) AS scores,
        count(score) AS agents, CAST(sum(attempts) AS BIGINT) AS attempts,
        coalesce(sum(CAST(cost_usd * pow(2, 70) AS HUGEINT)), 0) AS costs,
        count(cost_usd) AS with_cost,
        coalesce(sum(CAST(duration_s * pow(2, 70) AS HUGEINT)), 0) AS durations,
        count(duration_s) AS with_duration
    FROM scored
    GROUP BY place
) AS rates
LEFT JOIN (
    -- Mostly there is none, and then no cell is looked at.
    SELECT place, sum(without_score) AS without_score
    FROM scored
    WHERE without_score > 0 AND line IN (
        SELECT DISTINCT line FROM scored
        WHERE attempts > 0
            AND line IN (SELECT DISTINCT line FROM scored WHERE without_score > 0))
    GROUP BY place
) AS failed USING (place);

-- name: means_of_agents
SELECT
    line, count(*) AS tasks, sum(CAST(score * pow(2, 100) AS HUGEINT)) AS scores
FROM scored
WHERE attempts > 0
GROUP BY line;

-- name: left_out_cells
-- How many results are at other contents than those of a version, and how many may be.
WITH wanted_tasks AS (
    SELECT unnest(CAST($task_ids AS INTEGER[])) AS task_id,
        unnest(CAST($by_label AS BOOLEAN[])) AS by_label
),
wanted_runs AS (
    SELECT unnest(CAST($run_ids AS INTEGER[])) AS run_id,
        unnest(CAST($same_version AS BOOLEAN[])) AS same_version
)
SELECT
    CAST(coalesce(sum(results) FILTER (by_label IS NULL), 0) AS BIGINT),
    CAST(coalesce(sum(results) FILTER (by_label AND NOT same_version), 0) AS BIGINT)
FROM (
    SELECT run_id, task_id,
        without_score + CASE WHEN metric_id = $metric_id THEN valid ELSE 0 END AS results
    FROM cells
    WHERE metric_id = $metric_id OR metric_id = CAST($unnamed_id AS INTEGER)
) AS held
JOIN wanted_runs USING (run_id)
LEFT JOIN wanted_tasks USING (task_id);
