"""Strategies: which tasks a plan holds, in what order, and which task is next.

midband finds every strategy in the files of this folder automatically.
"""
