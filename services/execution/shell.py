"""The shell around the pure engine: load or reuse the folded state, decide, write what was decided, append.

One execution's commands are taken one after another (`_Lane`), different executions' side by side. Two processes may
still decide for the same execution at once: then the log lets one of them append, and the other loads what happened and
decides again. So it makes no difference for the outcome how often a command is given, or by whom.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing, BlobStore
from flightlog_log import Cause, Conflict, Head, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated, ExecutionDeleted, RecoveryPlan
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import metrics, subjects
from services.execution.deciding import Decider, Reusable
from services.execution.engine import (
    Command,
    CreateExecution,
    Decision,
    Execution,
    Program,
    Refusal,
    Refused,
    StartExecution,
    fold,
    recovery_plan,
)
from services.execution.lookup import Lookup
from services.execution.settings import ExecutionSettings
from services.execution.subjects import ExecutionKey

_MAX_CONFLICTS = 50
_STARTS_AT_ONCE = 4
_READS_AT_ONCE = 64
# How long an execution waits at most to be started while create calls are being answered: callers go before runs.
_BURST_SECONDS = 1.0


@dataclass(slots=True)
class _Lane:
    """The way of one execution's commands. `head` None: what the log has is not known here."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    state: Execution | None = None
    head: Head | None = None
    reusable: Reusable = field(default_factory=Reusable)


class Shell:
    """Gives commands to executions.

    Args:
        clock: what time it is; decisions themselves look at no clock.
    """

    def __init__(
        self,
        log: Log,
        blobs: BlobStore,
        lookup: Lookup,
        settings: ExecutionSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._blobs = blobs
        self._clock = clock
        self._kept = settings.cached_executions
        self._lanes: OrderedDict[ExecutionKey, _Lane] = OrderedDict()
        self._decider = Decider(blobs, lookup, settings, took=_took)
        self._starting = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._creating = 0
        self._calm = asyncio.Event()
        self._calm.set()

    @contextmanager
    def answering_create(self) -> Generator[None]:
        """While within, a caller waits for a create call: executions that are yet to start wait for it too."""
        self._creating += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._creating -= 1
            if not self._creating:
                self._calm.set()

    async def create(self, created: ExecutionCreated, inputs: LiteralMap, cause: Cause) -> None:
        """Appends the first fact; the log's consumer starts the execution.

        Raises:
            Refused: ALREADY_EXISTS, whatever became of the execution of that name.
            ProgramError: what is to be run cannot be.
            BlobError: the object store cannot be reached.
        """
        key = subjects.key_of(created.id)
        subject = _subject(key)
        self._decider.literals.keep(created.inputs.uri, inputs)
        async with self._lane(key) as lane:
            if lane.state is not None:
                raise Refused(Refusal.ALREADY_EXISTS)
            program = await self.program(created.closure)
            decision = await self._decide(lane, None, CreateExecution(created), program)
            try:
                recorded = await self._log.append(subject, decision.facts, head=Head.EMPTY, cause=cause)
            except Conflict:
                lane.head = None
                raise Refused(Refusal.ALREADY_EXISTS) from None
            lane.state, lane.head = decision.state, recorded.head

    async def start(self, key: ExecutionKey, cause: Cause) -> None:
        """Runs the first nodes; finds nothing to do when they run already. Raises as `dispatch`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BURST_SECONDS):
                await self._calm.wait()
        async with self._starting:
            await self.dispatch(key, StartExecution(), cause)

    async def dispatch(self, key: ExecutionKey, command: Command, cause: Cause) -> Recorded | None:
        """Gives a command; returns what was appended, None when there was nothing to do.

        Raises:
            Refused: the command cannot be obeyed; NOT_FOUND when there is no such execution.
            LogUnavailable: it is not known whether the command took effect, or the object store cannot be reached.
                Giving it again is safe.
        """
        try:
            return await self._dispatch(key, command, cause)
        except BlobError as error:
            raise LogUnavailable(f"execution {'/'.join(key)}: {error}") from error

    async def state(self, key: ExecutionKey) -> Execution | None:
        """The execution as the log has it now; None when there is none of this name, or none any more.

        Raises:
            LogUnavailable: the log cannot be read.
        """
        if subjects.execution(key) is None:
            return None
        async with self._lane(key) as lane:
            if lane.head is not None and not await self._is_current(key, lane.head):
                lane.head = None
            return await self._current(key, lane)

    async def _dispatch(self, key: ExecutionKey, command: Command, cause: Cause) -> Recorded | None:
        async with self._lane(key) as lane:
            for _ in range(_MAX_CONFLICTS):
                state = await self._current(key, lane)
                if state is None or lane.head is None:
                    raise Refused(Refusal.NOT_FOUND)
                program = await self._decider.program_or_why(state.created.closure)
                try:
                    full = await self._decider.with_result(state, command)
                    decision = await self._decide(lane, state, full, program)
                except Refused:
                    if await self._is_current(key, lane.head):
                        raise
                    lane.head = None
                    continue
                if not decision.facts:
                    if isinstance(command, StartExecution) or await self._is_current(key, lane.head):
                        return None
                    lane.head = None
                    continue
                await self._blobs.put_many([(blob.uri, blob.data) for blob in decision.blobs])
                try:
                    recorded = await self._log.append(_subject(key), decision.facts, head=lane.head, cause=cause)
                except Conflict:
                    lane.head = None
                    continue
                except LogUnavailable:
                    lane.head = None
                    raise
                lane.state, lane.head = decision.state, recorded.head
                self._decider.keep(decision)
                metrics.facts_total.inc(len(decision.facts))
                return recorded
        raise LogUnavailable(f"execution {'/'.join(key)} is changed by others all the time")

    async def _current(self, key: ExecutionKey, lane: _Lane) -> Execution | None:
        if lane.head is None:
            records = await self._log.load(_subject(key))
            lane.state = _folded(records)
            lane.head = records[-1].head if records else None
        return None if lane.state is None or lane.state.deleted else lane.state

    async def _is_current(self, key: ExecutionKey, head: Head) -> bool:
        """Whether nobody else has appended: only then "nothing to do" is the last word."""
        return await self._log.last_sequence(_subject(key)) == head.sequence

    async def _decide(self, lane: _Lane, state: Execution | None, command: Command, program: Program) -> Decision:
        return await self._decider.decide(state, command, program, self._clock, lane.reusable)

    async def program(self, closure: DataRef) -> Program:
        """See `Decider.program`."""
        return await self._decider.program(closure)

    async def recovery_plan(self, key: ExecutionKey) -> RecoveryPlan | None:
        """What another execution may reuse of this one, as it is now; None when there is none of this name.

        Raises:
            LogUnavailable: the log or the object store cannot be reached.
        """
        if subjects.execution(key) is None:
            return None
        history = [fact for record in await self._log.load(_subject(key)) for fact in record.facts]
        if not history or isinstance(history[-1], ExecutionDeleted):
            return None
        created = history[0]
        earlier: RecoveryPlan | None = None
        if isinstance(created, ExecutionCreated) and created.HasField("recovery"):
            try:
                earlier = RecoveryPlan.FromString(await self._blobs.verified(created.recovery))
            except (BlobMissing, BlobCorrupt, DecodeError):
                # What it was begun with is gone; what it did itself is not.
                earlier = None
            except BlobError as error:
                raise LogUnavailable(f"execution {'/'.join(key)}: {error}") from error
        return recovery_plan(history, earlier)

    @asynccontextmanager
    async def _lane(self, key: ExecutionKey) -> AsyncGenerator[_Lane]:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            self._forget_idle()
        else:
            self._lanes.move_to_end(key)
        lane.users += 1
        try:
            async with lane.lock:
                yield lane
        finally:
            lane.users -= 1

    async def forget(self, project: str) -> None:
        """Read the executions of a project from the log again: their personal data may be gone."""
        for key in [key for key in self._lanes if key[0] == project]:
            async with self._lane(key) as lane:
                lane.state = lane.head = None

    def _forget_idle(self) -> None:
        while len(self._lanes) > self._kept:
            oldest = next(iter(self._lanes))
            if self._lanes[oldest].users:
                self._lanes.move_to_end(oldest)
                return
            del self._lanes[oldest]


def _folded(records: Sequence[Recorded]) -> Execution | None:
    history = [fact for record in records for fact in record.facts]
    # Of one that was deleted that may be all there is, or its beginning beside it.
    return None if not history or isinstance(history[-1], ExecutionDeleted) else fold(history)


def _took(command: Command, seconds: float) -> None:
    metrics.decision_seconds.labels(type(command).__name__).observe(seconds)


def _subject(key: ExecutionKey) -> Subject:
    subject = subjects.execution(key)
    if subject is None:
        raise Refused(Refusal.NOT_FOUND)
    return subject
