"""Whether the log, the archive and the tables still are what was written.

What a stream has is checked by pure code, one message after another (`stream.py`, with `chains.py` and `gaps.py`); the
other modules bring it the messages, the archive's rows and the ends that others remember, and tell what it finds.
"""
