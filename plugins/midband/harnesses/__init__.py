"""One module a harness: how to read its results and, where it can be driven, how to run it."""
