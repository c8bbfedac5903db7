"""The scheduler: executions that begin by the clock, and messages about those that have ended."""
