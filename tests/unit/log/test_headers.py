"""Headers of messages as our client takes them apart, which is how nats-py's own does."""

from __future__ import annotations

import pytest
from nats.aio.client import Client

from flightlog_log.connection import FastClient

_LINES = (
    b"Nats-Msg-Id: 0198\r\nFlightlog-Facts: NodeQueued,NodeStarted\r\n"
    b"x:1\r\nempty:\r\nurl: http://host:80/\xc3\xa9\r\nno colon\r\n\r\n"
)


@pytest.mark.parametrize(
    "data",
    [b"NATS/1.0\r\n" + _LINES, b"NATS/1.0 404 No Messages\r\n\r\n", b"NATS/1.0 100\r\n" + _LINES, b""],
    ids=["headers", "status", "both", "none"],
)
async def test_they_are_those_of_the_driver(data: bytes) -> None:
    ours, theirs = [await client._process_headers(data) for client in (FastClient(), Client())]
    assert ours == theirs
    assert not data.endswith(_LINES) or ours["Flightlog-Facts"] == "NodeQueued,NodeStarted"
