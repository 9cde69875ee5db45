"""Stopping rules: what has to be known before a run may stop.

Every rule in a file of this folder is found by itself.
"""
