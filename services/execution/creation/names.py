"""Names of executions that nobody named."""

import secrets

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters and digits that form no words and are not mistaken for one another (admin-contract §4.2)."""


def new_execution_name() -> str:
    """A new name of 20 characters, the first of them `a`."""
    number = secrets.randbits(128)
    name = ["a"]
    for _ in range(19):
        number, letter = divmod(number, len(ALPHABET))
        name.append(ALPHABET[letter])
    return "".join(name)
