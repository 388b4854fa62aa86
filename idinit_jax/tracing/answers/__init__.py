"""Answers: what a model's parameters are for, computed from facts."""
