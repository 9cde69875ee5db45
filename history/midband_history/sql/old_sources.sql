-- Sources of which there are results, with who read them.
SELECT
    sources.source_id, sources.name, sources.reader, sources.reader_version, count(*) AS attempts
FROM sources JOIN outcomes USING (source_id)
GROUP BY ALL
ORDER BY sources.name, sources.source_id;
