"""The demonstration: a simulated benchmark and simulated agents, offline, through real Inspect."""
