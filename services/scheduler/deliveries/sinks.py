"""What every receiver is to a queue, and what may be said of it in public."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued
from services.scheduler.deliveries.delivery import Outcome
from services.scheduler.deliveries.templates import shortened

_LONGEST_REASON = 1000
_SHORTEST_SECRET = 4
_BLANKS = re.compile(r"\s+")


class Sink(Protocol):
    """Somebody who is told of events.

    Attributes:
        name: part of the names of its queues.
        at_once: how many tries run at the same time.
        secrets: what is in no reason and no answer.
    """

    @property
    def name(self) -> str: ...

    @property
    def at_once(self) -> int: ...

    @property
    def secrets(self) -> Iterable[str]: ...

    async def send(self, queued: DeliveryQueued, reached: frozenset[str]) -> Outcome:
        """Try once; ends within the sink's time-out. Recipients who were reached by an earlier try are left out."""
        ...

    async def close(self) -> None: ...


def host_of(url: str) -> str:
    """What people are told of an address: its paths, queries and accounts may be secrets."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def presentable(text: str, secrets: Iterable[str]) -> str:
    """A receiver's words on one short line, without what is secret."""
    for secret in sorted(secrets, key=len, reverse=True):
        # Shorter ones would take too much of the text along.
        text = text.replace(secret, "***") if len(secret) >= _SHORTEST_SECRET else text
    return shortened(_BLANKS.sub(" ", text.replace("\0", "")).strip(), _LONGEST_REASON)
