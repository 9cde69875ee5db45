"""Allocations: which candidates of a race run on. One file each."""
