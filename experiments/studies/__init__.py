"""One small file a study: a question, the networks and initializations, and three budgets."""
