"""Measurements of speed and memory beside the usual way of doing it, in one run.

Speeds of one machine say little: what counts are ratios of what was measured side by side.
"""
