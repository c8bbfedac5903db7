"""Moments in objects of the Kubernetes API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str | None) -> datetime | None:
    """A time of the API, `2026-01-31T12:00:00Z`; None for none.

    What never happened is written as zero, in Unix' way or in Go's: a kubelet does so when a container never began.
    """
    at = datetime.fromisoformat(text) if text else None
    return at if at is not None and at > _ZERO else None
