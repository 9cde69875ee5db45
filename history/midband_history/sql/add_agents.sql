INSERT INTO agents
SELECT
    (SELECT coalesce(max(agent_id), 0) FROM agents)
        + row_number() OVER (ORDER BY name, length(settings), settings, model, scaffold, version),
    name, name, model, scaffold, version, settings
FROM (
    SELECT DISTINCT agent AS name, model, scaffold, agent_version AS version, settings FROM incoming
) AS found
ANTI JOIN agents USING (name, model, scaffold, version, settings);
