"""How often it is said what changes while an attempt stays in one stage.

A scheduler says of a pod that it cannot place something else whenever a node comes or goes, for days; each word that is
passed on stays in the history of an execution. The first ones are said at once, later ones ever more seldom.
"""

from __future__ import annotations

from typing import Final

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved

_AT_ONCE: Final = 8
_FIRST_PAUSE_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 600.0


class Pace:
    """Of one attempt. Seconds are of any clock that only goes forward."""

    def __init__(self, first_pause_seconds: float = _FIRST_PAUSE_SECONDS) -> None:
        self._first_pause_seconds = first_pause_seconds
        self._said = 0
        self._quiet_until = 0.0

    def begin(self) -> None:
        """Another stage: what is said of it is new."""
        self._said = 0
        self._quiet_until = 0.0

    def said(self, now: float) -> None:
        """Something else was said of the same stage."""
        self._said += 1
        doublings = min(self._said - _AT_ONCE, 16)
        if doublings >= 0:
            self._quiet_until = now + min(self._first_pause_seconds * 2**doublings, _LONGEST_PAUSE_SECONDS)

    def pause(self, now: float) -> float:
        """Seconds until something else may be said of the same stage; 0: now."""
        return max(self._quiet_until - now, 0.0)


def says_the_same(one: AttemptObserved, other: AttemptObserved) -> bool:
    """Whether two observations of an attempt tell clients the same."""
    return (
        one.stage == other.stage
        and one.reason == other.reason
        and one.custom_info == other.custom_info
        and list(one.logs) == list(other.logs)
    )
