"""The formats of result files that midband reads, one module each."""
