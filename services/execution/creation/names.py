"""Names of executions that nobody named."""

import secrets

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters and digits that form no words and are not mistaken for one another (admin-contract §4.2)."""


def new_execution_name() -> str:
    """A new name of 20 characters, the first of them `a`."""
    return "a" + "".join(secrets.choice(ALPHABET) for _ in range(19))
