"""The state of one attempt while a launcher looks after it, and what is to be said of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from flyteidl.core import execution_pb2
from google.protobuf import json_format

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import Plugin, Reading
from services.k8s_launcher.orders import Order
from services.k8s_launcher.pace import Pace, says_the_same
from services.k8s_launcher.runtime import FINAL, AttemptKey
from services.k8s_launcher.task_templates import NotLaunchable

HAS_AN_OBJECT = frozenset({AttemptObserved.QUEUED, AttemptObserved.INITIALIZING, AttemptObserved.RUNNING})
_SYSTEM = execution_pb2.ExecutionError.SYSTEM


class Attempt:
    """One attempt: what was ordered, what was seen of its object, what was said of it last."""

    def __init__(
        self, order: Order, plugin: Plugin, namespace: str, name: str, *, version: int, last: AttemptObserved | None
    ) -> None:
        self.order = order
        self.plugin = plugin
        self.namespace = namespace
        self.name = name
        """Of its object."""
        self.last = last
        self.made = order.ran or (last is not None and last.stage in HAS_AN_OBJECT)
        """Its object was made, as far as anybody knows; when it is not there, it is gone."""
        self.perhaps_made = False
        """Somebody asked for its object and did not hear the answer."""
        self.followed = False
        """Its object is there, or was since this launcher began."""
        self.settled = False
        """What is to be done about it is under way: before, its object may yet turn out to be there."""
        self.ending = False
        """Its object is being removed because its end was ordered."""
        self.over = False
        """What is said of it last is on its way."""
        self.occupies = False
        """It is one of those that its project and domain may have in flight."""
        self.tried = False
        """Its object is being made at this moment."""
        self.blocked_since: float | None = None
        """Since when somebody would have to do something for its object to be let in; seconds of the loop's clock."""
        self.ordered_at = asyncio.get_running_loop().time()
        self.timer: asyncio.TimerHandle | None = None
        self.withheld_seconds: float | None = None
        """After how long what is new within its stage may be said; None: all is said."""
        self._pace = Pace()
        self._version = version

    @property
    def key(self) -> AttemptKey:
        return self.order.key

    @property
    def place(self) -> tuple[str, str]:
        """Project and domain: who shares what may be in flight."""
        return self.key.project, self.key.domain

    def next(self, reading: Reading) -> AttemptObserved | None:
        """What is to be said of a reading; None when nothing is new in it, or not now. To be sent, in order."""
        observed = self._observation(reading)
        self.withheld_seconds = None
        if self.last is None or reading.stage != self.last.stage or reading.stage in FINAL:
            self._pace.begin()
        elif says_the_same(self.last, observed):
            return None
        else:
            now = asyncio.get_running_loop().time()
            if pause := self._pace.pause(now):
                self.withheld_seconds = pause
                return None
            self._pace.said(now)
        self._version += 1
        observed.version = self._version
        self.last = observed
        return observed

    def remark(self, reason: str, occurred_at: datetime | None) -> AttemptObserved | None:
        """A further reason for how it goes now; None before anything was said of its object. To be sent, in order."""
        if self.last is None or self.last.stage not in HAS_AN_OBJECT:
            return None
        observed = AttemptObserved()
        observed.CopyFrom(self.last)
        self._version += 1
        observed.version = self._version
        observed.reason = reason
        observed.occurred_at.FromDatetime(occurred_at or datetime.now(UTC))
        return observed

    def _observation(self, reading: Reading) -> AttemptObserved:
        key = self.key
        observed = AttemptObserved(
            node_id=key.node_id,
            attempt=key.attempt,
            stage=reading.stage,
            reason=reading.reason,
            logs=reading.logs,
            exit=reading.exit,
            error=reading.error,
            recoverable=reading.recoverable,
            plugin=self.plugin.identifier,
            usage=reading.usage,
        )
        execution = observed.execution_id
        execution.project, execution.domain, execution.name = key.project, key.domain, key.execution
        observed.occurred_at.FromDatetime(reading.occurred_at or datetime.now(UTC))
        if reading.custom_info is not None:
            json_format.ParseDict(dict(reading.custom_info), observed.custom_info)
        return observed


def deleted_behind_our_back(attempt: Attempt) -> Reading:
    """What it means that somebody else has asked for the end of an object that was not over (k8s-contract §2.6)."""
    message = f"object [{attempt.namespace}/{attempt.name}] terminated in the background, manually"
    return _lost("UnexpectedObjectDeletion", message)


def gone(attempt: Attempt, why: str) -> Reading:
    """What it means that an object is there no more that was not over (k8s-contract §2.6)."""
    message = f"resource not found, name [{attempt.namespace}/{attempt.name}]. reason: {why}"
    return _lost("ResourceDeletedExternally", message)


def not_launched(refusal: NotLaunchable) -> Reading:
    """What it means that no object can be made."""
    return Reading(
        AttemptObserved.NOT_LAUNCHED,
        refusal.message.partition("\n")[0],
        error=refusal.error(),
        recoverable=refusal.recoverable,
    )


def _lost(code: str, message: str) -> Reading:
    error = execution_pb2.ExecutionError(code=code, message=message, kind=_SYSTEM)
    return Reading(AttemptObserved.FAILED, message, error=error, recoverable=True)
