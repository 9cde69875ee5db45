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
