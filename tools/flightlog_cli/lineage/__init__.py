"""Graphs of lineage as a person sees them: a tree of text, or a picture."""
