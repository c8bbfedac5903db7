"""Moments in objects of the Kubernetes API."""

from __future__ import annotations

from datetime import datetime


def moment(text: str | None) -> datetime | None:
    """A time of the API, `2026-01-31T12:00:00Z`; None for none."""
    return datetime.fromisoformat(text) if text else None
