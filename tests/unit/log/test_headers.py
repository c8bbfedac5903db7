"""Headers of messages as our client takes them apart, which is how nats-py's own does."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from flightlog_log.client import FastClient, Headers

_LINES = (
    b"Nats-Msg-Id: 0198\r\nFlightlog-Facts: NodeQueued,NodeStarted\r\n"
    b"x:1\r\nempty:\r\nurl: http://host:80/\xc3\xa9\r\nno colon\r\n\r\n"
)

NAMES = st.sampled_from(["Nats-Sequence", "Sequence", "Flightlog-Facts", "traceparent", "A", "Foo ", "X\xff"])
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


@pytest.mark.parametrize(
    "data",
    [b"NATS/1.0\r\n" + _LINES, b"NATS/1.0 404 No Messages\r\n\r\n", b"NATS/1.0 100\r\n" + _LINES, b""],
    ids=["headers", "status", "both", "none"],
)
async def test_they_are_those_of_the_driver(data: bytes) -> None:
    ours, theirs = [await client._process_headers(data) for client in (FastClient(), Client())]
    assert ours == theirs
    assert not data.endswith(_LINES) or ours["Flightlog-Facts"] == "NodeQueued,NodeStarted"


def block(*pairs: tuple[str, str], end: bytes = b"\r\n\r\n") -> bytes:
    """A block of headers behind its first line, as the server sends it."""
    return b"".join(b"\r\n" + name.encode("latin-1") + b":" + value.encode() for name, value in pairs) + end


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from([b"\r\n\r\n", b"\r\n", b""]))
def test_every_header_is_found(pairs: list[tuple[str, str]], end: bytes) -> None:
    data = block(*pairs, end=end)
    parsed: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            parsed[name.strip()] = value.strip()
    headers = Headers(data)
    assert dict(headers.items()) == parsed
    assert len(headers) == len(parsed)
    assert {name: headers[name] for name in parsed} == parsed
    assert headers.get("Missing", "none") == "none"
    assert dict(pickle.loads(pickle.dumps(headers))) == parsed


def test_a_missing_header_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="Missing"):
        Headers(block(("There", "1")))["Missing"]
