"""Refused calls on the log: who wanted to change what, and why that was not done (stream AUDIT).

What was done is on the log anyway. A refusal is noted beside its call, which does not wait for the log: what is noted
waits in memory, so what a process that is killed had not written yet is lost, and what is more than memory is to hold
is dropped, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from flightlog_log import Cause, Log, LogError, LogUnavailable, Subject, new_id
from flightlog_protos.history.v1.audit_pb2 import CallRefused
from flightlog_rpc import metrics
from flightlog_rpc.context import CallContext
from flightlog_rpc.errors import RpcError
from flightlog_rpc.methods import Method
from flightlog_rpc.targets import target_of

logger = structlog.get_logger(__name__)

STREAM: Final = "AUDIT"
MOST_WAITING: Final = 10_000
_LONGEST_MESSAGE: Final = 2_000
_RETRY_SECONDS: Final = 1.0
# A part is away, or the client is gone: nobody has decided anything.
_NO_REFUSALS: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})


@dataclass(frozen=True, slots=True)
class _Refusal:
    subject: Subject
    fact: CallRefused
    cause: Cause
    id: str


class Refusals:
    """Notes refusals, and writes them when the log takes them."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: deque[_Refusal] = deque()
        self._more = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """From now on what is noted is written."""
        self._work = asyncio.get_running_loop().create_task(self._write())

    async def close(self, seconds: float) -> None:
        """Writes what is noted, for as long as this; the rest is dropped."""
        if self._work is None:
            return
        self._closing = True
        self._more.set()
        await asyncio.wait({self._work}, timeout=seconds)
        self._work.cancel()
        await asyncio.wait({self._work})
        self._work = None
        if self._waiting:
            self._drop(len(self._waiting), "the service stops")
            self._waiting.clear()

    def note(self, method: Method, data: bytes, call: CallContext, error: RpcError) -> None:
        """That a call was refused. Returns at once.

        Args:
            data: the request as it came; what cannot be read says nothing about what it was about.
        """
        if error.code in _NO_REFUSALS:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._drop(1, "too many wait for the log")
            return
        request = method.request()
        try:
            request.MergeFromString(data)
        except DecodeError:
            request = method.request()
        target = target_of(method, request)
        service = method.service.rpartition(".")[2]
        fact = CallRefused(
            method=f"{service}/{method.name}",
            code=error.code.name,
            message=error.message[:_LONGEST_MESSAGE],
            kind=target.kind,
            project=target.project,
            domain=target.domain,
            name=target.name,
            version=target.version,
        )
        fact.occurred_at.FromDatetime(datetime.now(UTC))
        self._waiting.append(_Refusal(Subject.of(STREAM, service, method.name), fact, call.cause(), new_id()))
        self._more.set()

    async def _write(self) -> None:
        while not self._closing or self._waiting:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
                continue
            first = self._waiting[0]
            try:
                await self._log.publish(
                    first.subject,
                    [first.fact],
                    cause=first.cause,
                    message_id=first.id,
                    occurred_at=first.fact.occurred_at.ToDatetime(UTC),
                )
                metrics.refusals.labels("recorded").inc()
            except LogUnavailable as error:
                # It may be stored nevertheless: the same id again is stored once.
                logger.warning("audit.waiting", waiting=len(self._waiting), reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            except (LogError, ValueError) as error:
                self._drop(1, f"it cannot be written: {error}")
            self._waiting.popleft()

    def _drop(self, count: int, reason: str) -> None:
        metrics.refusals.labels("dropped").inc(count)
        logger.error("audit.dropped", count=count, reason=reason)
