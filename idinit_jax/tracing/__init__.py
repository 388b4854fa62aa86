"""Read a model's computation: which parameter enters which contraction, where and why."""
