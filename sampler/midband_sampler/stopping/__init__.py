"""Stopping rules: what must be known before a run may stop.

midband finds every rule in the files of this folder automatically.
"""
