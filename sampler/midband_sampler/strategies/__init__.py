"""Strategies: which tasks a plan holds, in what order, and which comes next. One file a strategy."""
