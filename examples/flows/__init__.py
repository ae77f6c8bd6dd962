"""Flows that need no network: prime gaps, a table's profile, research in Python's own documentation, a review."""
