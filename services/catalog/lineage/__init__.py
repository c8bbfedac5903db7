"""Lineage: which node of which run made a value, from what, and what became of it."""
