"""How long to wait before a connector is asked again. Pure."""

from __future__ import annotations

from typing import Final

from services.k8s_launcher.connectors.settings import ConnectorSettings

_FIRST_SECONDS: Final = 0.2
_LONGEST_SECONDS: Final = 15.0
_PART_OF_AGE: Final = 4


def between_looks(age_seconds: float, settings: ConnectorSettings) -> float:
    """Seconds until a task is looked at again that is looked at since `age_seconds`: short ones are not waited for,
    long ones cost little."""
    return min(max(age_seconds / _PART_OF_AGE, settings.first_poll_seconds), settings.poll_interval_seconds)


def between_tries(tries: int) -> float:
    """Seconds until something is tried again that failed `tries` times before the last."""
    return min(_FIRST_SECONDS * 2 ** min(tries, 16), _LONGEST_SECONDS)
