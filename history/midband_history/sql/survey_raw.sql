-- One pass over the file: how many rows are at fault, have no attempt number, no score, the range
-- of the scores, and how many dates and amounts are absurd.
SELECT
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
