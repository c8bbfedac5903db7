"""Schedules of launch plans, and backfills. What is decided is pure; the shell does the input and output."""
