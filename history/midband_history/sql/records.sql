-- Every attempt of some runs, with all that is known of it; runs one after the other.
SELECT
    benchmarks.name AS benchmark, tasks.name AS task_id, agents.name AS agent,
    outcomes.score, outcomes.passed, outcomes.kind, outcomes.attempt,
    runs.name AS run_id, agents.model, agents.scaffold, agents.version AS agent_version,
    agents.settings, runs.harness, runs.harness_version, runs.started,
    outcomes.cost_usd, outcomes.tokens, outcomes.duration_s, runs.cost_usd AS run_cost_usd,
    tasks.digest AS task_digest, tasks.part, runs.version AS benchmark_version,
    runs.whole AS whole_benchmark, outcomes.scored AS scored_at, outcomes.metric_id
FROM outcomes
JOIN runs USING (run_id)
JOIN benchmarks ON benchmarks.benchmark_id = runs.benchmark_id
JOIN tasks ON tasks.task_id = outcomes.task_id
JOIN agents ON agents.agent_id = outcomes.agent_id
WHERE outcomes.run_id BETWEEN $first AND $last
    AND (CAST($benchmark_id AS INTEGER) IS NULL OR runs.benchmark_id = $benchmark_id)
ORDER BY outcomes.run_id, tasks.name, outcomes.attempt, outcomes.key;
