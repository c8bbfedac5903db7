"""Measures a running backend through its public gRPC port: the table of DESIGN's "numbers to beat"."""
