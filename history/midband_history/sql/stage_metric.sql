INSERT INTO incoming_metrics VALUES ($metric, $name, $key, $low, $high, $lower, $declared);
