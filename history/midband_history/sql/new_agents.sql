SELECT
    name, model, scaffold, version, settings,
    md5(concat_ws(chr(31), model, scaffold, version, settings)) AS digest
FROM (
    SELECT DISTINCT agent AS name, model, scaffold, agent_version AS version, settings FROM incoming
) AS found
ANTI JOIN agents USING (name, model, scaffold, version, settings)
ORDER BY name, length(settings), settings, model, scaffold, version;
