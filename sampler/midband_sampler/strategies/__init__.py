"""Strategies: which tasks a plan holds, in what order, and which is next. One file a strategy."""
