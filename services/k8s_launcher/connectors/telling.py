"""What is said of an attempt that a connector runs, one thing after another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Exit
from services.k8s_launcher.connectors.reading import Reading
from services.k8s_launcher.pace import Pace, says_the_same
from services.k8s_launcher.runtime import FINAL, AttemptKey

PLUGIN: Final = "connector-service"
"""What clients see as the attempt's plugin, as in Flyte."""


class Account:
    """What was said of one attempt last. `version` is not below those of what was said before."""

    def __init__(self, key: AttemptKey, *, version: int, last: AttemptObserved | None) -> None:
        self._key = key
        self._version = version
        self.last = last
        self._pace = Pace()

    def next(self, reading: Reading, now: float) -> AttemptObserved | None:
        """What is to be said of a reading; None when nothing is new in it, or not now. To be sent, in order.

        `now`: seconds of any clock that only goes forward.
        """
        observed = observation(self._key, reading)
        if self.last is None or reading.stage != self.last.stage or reading.stage in FINAL:
            self._pace.begin()
        elif says_the_same(self.last, observed) or self._pace.pause(now):
            # It is looked at again and again.
            return None
        else:
            self._pace.said(now)
        self._version += 1
        observed.version = self._version
        self.last = observed
        return observed

    def with_reason(self, reason: str) -> Reading:
        """That it goes as it went last, as far as is known, and why no more is known."""
        if self.last is None:
            return Reading(AttemptObserved.QUEUED, reason)
        info = self.last.custom_info if self.last.HasField("custom_info") else None
        return Reading(self.last.stage, reason, logs=tuple(self.last.logs), custom_info=info)


def observation(key: AttemptKey, reading: Reading) -> AttemptObserved:
    """An observation of an attempt, without a version."""
    observed = AttemptObserved(
        node_id=key.node_id,
        attempt=key.attempt,
        stage=reading.stage,  # pyright: ignore[reportArgumentType]  # an enum's number
        reason=reading.reason,
        logs=reading.logs,
        exit=Exit(code=0) if reading.stage == AttemptObserved.EXITED else None,
        error=reading.error,
        recoverable=reading.recoverable,
        plugin=PLUGIN,
        custom_info=reading.custom_info,
    )
    execution = observed.execution_id
    execution.project, execution.domain, execution.name = key.project, key.domain, key.execution
    observed.occurred_at.FromDatetime(datetime.now(UTC))
    return observed
