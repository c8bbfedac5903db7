"""Observations on their way to the log: those of one attempt one after another, however long the log is away."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import Histogram

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.runtime import AttemptKey, Origin, Report

OBSERVATION_SECONDS = 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0
"""Buckets of histograms of the time until an observation is on the log."""

_LONGEST_LANE = 64
Then = Callable[[], Awaitable[None]]


@dataclass
class _Message:
    observed: AttemptObserved
    origin: Origin
    then: Then | None
    since: float


class Reporting:
    """A lane for each attempt of which something is to be said."""

    def __init__(self, report: Report, seconds: Histogram) -> None:
        self._report = report
        self._seconds = seconds
        self._lanes: dict[AttemptKey, deque[_Message]] = {}
        self._waiting: set[AttemptKey] = set()
        self._arrived = asyncio.Event()

    def send(self, key: AttemptKey, observed: AttemptObserved, origin: Origin, then: Then | None = None) -> None:
        """Publish it behind what is to be published of the attempt; afterwards do `then`."""
        message = _Message(observed, origin, then, time.monotonic())
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = deque((message,))
            self._waiting.add(key)
            self._arrived.set()
            return
        if len(lane) >= _LONGEST_LANE and lane[-1].then is None:
            # The log is away for long, and what only told how it went is outdated.
            lane.pop()
        lane.append(message)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    tasks.create_task(self._work(self._waiting.pop()))

    async def _work(self, key: AttemptKey) -> None:
        lane = self._lanes[key]
        while lane:
            message = lane[0]
            await self._report(message.observed, message.origin)
            self._seconds.observe(time.monotonic() - message.since)
            if message.then is not None:
                await message.then()
            lane.popleft()
        del self._lanes[key]
