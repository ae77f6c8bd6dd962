"""Measurements: ours beside the physical limit in the same run, and beside kodosumi 1.1.0."""
