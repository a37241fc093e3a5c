"""Speed and memory beside the usual way of doing it; what counts are ratios within one run."""
