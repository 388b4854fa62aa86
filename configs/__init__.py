"""One small file an experiment: what it is, how to run it, how long it takes, what to expect."""
