-- A benchmark that was run from a package of evaluations is the same one; keys are of what is said.
UPDATE incoming
SET said = benchmark, benchmark = substr(benchmark, 15)
WHERE starts_with(benchmark, 'inspect_evals/') AND length(benchmark) > 14;
