"""The tables of schedules and backfills: made by `ddl.py`, written by `apply.py`, read by `queries.py`."""
