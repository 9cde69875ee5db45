"""The model: how likely an agent passes each task, and what its full score will be."""
