"""Stopping rules: what has to be known before a run may stop. One file a rule."""
