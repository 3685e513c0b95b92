"""Metrics with intervals, what became of every find, and the report."""
