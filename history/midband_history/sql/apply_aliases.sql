-- A benchmark that goes by another name here joins the one that it is an alias of.
UPDATE incoming
SET said = coalesce(incoming.said, incoming.benchmark), benchmark = aliases.name
FROM aliases
WHERE aliases.what = 'benchmark' AND aliases.alias = incoming.benchmark;
