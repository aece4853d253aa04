"""Parameter types. None is imported here: each needs its own package, pandas or numpy for example."""
