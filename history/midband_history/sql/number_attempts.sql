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
FROM raw
ORDER BY member, place;
