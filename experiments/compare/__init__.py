"""Which initialization is better? The runs of a study, their learning rates tuned, and a report."""
