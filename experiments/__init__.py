"""What a researcher runs: train, compare, report."""
