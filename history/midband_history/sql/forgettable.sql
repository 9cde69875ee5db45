-- How many attempts each source gave each run, by agent and benchmark.
SELECT
    runs.run_id, runs.agent_id, outcomes.source_id, benchmarks.name,
    coalesce(sources.name, ''), count(*)
FROM outcomes
JOIN runs USING (run_id)
JOIN benchmarks USING (benchmark_id)
LEFT JOIN sources USING (source_id)
WHERE (CAST($benchmark_id AS INTEGER) IS NULL OR runs.benchmark_id = $benchmark_id)
    AND (CAST($run AS VARCHAR) IS NULL OR runs.name = $run)
GROUP BY ALL;
