UPDATE outcomes SET metric_id = $new WHERE metric_id = $old;
