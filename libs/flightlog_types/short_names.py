"""Names of limited length, made from longer ones alone: Flyte's rule for pods and executions (k8s-contract §1.1).

A name that fits stays; a longer one is replaced as a whole by the hash of it.
"""

from flightlog_types.base32 import base32


def fnv32a(text: str) -> int:
    """The 32-bit FNV-1a hash of a text's UTF-8 bytes."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def fnv64a(text: str) -> int:
    """The 64-bit FNV-1a hash of a text's UTF-8 bytes."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def fitted(name: str, limit: int) -> str:
    """The name, or what stands for it where it is longer than `limit` characters."""
    return name if len(name) <= limit else hashed(name)


def hashed(name: str) -> str:
    """Eight characters that stand for a name."""
    return "f" + base32(fnv32a(name).to_bytes(4, "big"))


def hashed_long(name: str) -> str:
    """Fourteen characters that stand for a name, for those of which there are very many."""
    return "f" + base32(fnv64a(name).to_bytes(8, "big"))
