"""Names of aggregates on the log.

`<stream in lower case>.<partition>.<token>…`, one token per part. The partition is a pure function of the parts, so
that everybody finds an aggregate by its name alone; a stream's partitions can be given to different workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote
from zlib import crc32

PARTITIONS = 32


@lru_cache(maxsize=65536)
def encode_token(text: str) -> str:
    """One subject token for any non-empty text. Letters, digits, `-`, `_`, `~` stay; all else becomes %XX of its UTF-8.

    Raises `ValueError` for the empty text, which no token can stand for.
    """
    if not text:
        raise ValueError("a part of a subject must not be empty")
    return quote(text, safe="").replace(".", "%2E")


@lru_cache(maxsize=65536)
def decode_token(token: str) -> str:
    """The text that `encode_token` was given. Raises `ValueError` when the token was not made by it."""
    text = unquote(token, errors="strict")
    if encode_token(text) != token:
        raise ValueError(f"{token!r} is not an encoded part of a subject")
    return text


@dataclass(frozen=True, slots=True)
class Subject:
    """An aggregate's place on the log; `str` gives the NATS subject. Made by `of` and `parse`."""

    stream: str
    """Upper case: "EXECUTION"."""
    parts: tuple[str, ...]
    text: str

    @staticmethod
    def of(stream: str, *parts: str) -> Subject:
        """The subject of the aggregate that these parts name. Raises `ValueError` for an empty part or none at all."""
        if not parts:
            raise ValueError(f"an aggregate on {stream} needs a name")
        tokens = ".".join(encode_token(part) for part in parts)
        return Subject(stream.upper(), parts, f"{stream.lower()}.{partition_of(parts):02d}.{tokens}")

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(text: str) -> Subject:
        """The reverse of `str`. Raises `ValueError` for a text that is no subject of an aggregate."""
        stream, _, rest = text.partition(".")
        partition, _, tokens = rest.partition(".")
        if not stream or not tokens:
            raise ValueError(f"{text!r} is not <stream>.<partition>.<parts>")
        subject = Subject.of(stream, *(decode_token(token) for token in tokens.split(".")))
        if subject.text != text:
            raise ValueError(f"{text!r} has partition {partition}, its name belongs to {subject.partition:02d}")
        return subject

    @property
    def partition(self) -> int:
        return partition_of(self.parts)

    def __str__(self) -> str:
        return self.text


def partition_of(parts: tuple[str, ...]) -> int:
    """The partition, 0 ≤ p < 32, of the aggregate with these parts."""
    return crc32("/".join(parts).encode()) % PARTITIONS


def stream_of(subject: str) -> str:
    """The stream that holds a subject."""
    first = subject.partition(".")[0].upper()
    return _STREAM_BY_FIRST_TOKEN.get(first, first)


_STREAM_BY_FIRST_TOKEN = {"ALARMED": "ALARM", "REDRIVEN": "PARKED"}
