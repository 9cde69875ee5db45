"""Strategies: which tasks a plan holds, in what order, and which is next.

Every strategy in a file of this folder is found by itself.
"""
