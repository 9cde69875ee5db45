UPDATE runs SET benchmark_id = $new WHERE benchmark_id = $old;
