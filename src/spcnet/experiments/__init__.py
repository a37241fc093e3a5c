"""Experiments of many trainings: the paper's ablations, and comparisons of a user's own."""
