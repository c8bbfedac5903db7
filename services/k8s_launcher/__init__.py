"""The launcher: makes what the log schedules happen on a runtime, and reports what it saw (DESIGN §5)."""
