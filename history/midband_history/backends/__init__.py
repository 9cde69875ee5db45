"""Where a history is kept."""
