"""The tables that lists are answered from: made by `ddl.py`, written by `apply.py`, read by `queries.py`."""
