"""The shell around the pure engine: load or reuse the folded state, decide, write what was decided, append.

One execution's commands are taken one after another (`_Lane`), different executions' side by side. Two processes may
still decide for the same execution at once: then the log lets one of them append, and the other loads what happened and
decides again. So it makes no difference for the outcome how often a command is given, or by whom.
"""

import asyncio
import time
from collections import ChainMap, OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_blobs import BlobStore
from flightlog_log import Cause, Conflict, Head, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import metrics, subjects
from services.execution.engine import (
    Command,
    Context,
    CreateExecution,
    Decision,
    EngineSettings,
    Execution,
    NeedData,
    Program,
    Refusal,
    Refused,
    StartExecution,
    decide,
    fold,
)
from services.execution.literals import LiteralCache
from services.execution.settings import ExecutionSettings
from services.execution.subjects import ExecutionKey

_log = structlog.get_logger(__name__)

_MAX_CONFLICTS = 50
_KEPT_PROGRAMS = 512
# How many executions start at the same time: a burst of create calls is answered first, its executions start steadily.
_STARTS_AT_ONCE = 4


@dataclass(slots=True)
class _Lane:
    """The way of one execution's commands. `head` None: what the log has is not known here."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    state: Execution | None = None
    head: Head | None = None


class Shell:
    """Gives commands to executions.

    Args:
        clock: what time it is; decisions themselves look at no clock.
    """

    def __init__(
        self,
        log: Log,
        blobs: BlobStore,
        settings: ExecutionSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._blobs = blobs
        self._clock = clock
        self._kept = settings.cached_executions
        self._engine = EngineSettings(
            max_system_failures=settings.retries.max_system_failures,
            retry_backoff_base=settings.retries.backoff_base,
            retry_backoff_max=settings.retries.backoff_max,
        )
        self._lanes: OrderedDict[ExecutionKey, _Lane] = OrderedDict()
        self._programs: OrderedDict[bytes, Program] = OrderedDict()
        self._literals = LiteralCache(settings.cached_data_bytes)
        self._to_start: asyncio.Queue[tuple[ExecutionKey, Cause]] = asyncio.Queue()
        self._starting = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def run(self) -> None:
        """Starts created executions at once, until cancelled. The durable consumer starts what this misses."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_STARTS_AT_ONCE):
                group.create_task(self._start_created())

    async def create(self, created: ExecutionCreated, inputs: LiteralMap, cause: Cause) -> None:
        """Appends the first fact; the execution starts after this has returned.

        Raises:
            Refused: ALREADY_EXISTS, whatever became of the execution of that name.
        """
        key = subjects.key_of(created.id)
        subject = _subject(key)
        self._literals.keep(created.inputs.uri, inputs)
        async with self._lane(key) as lane:
            if lane.state is not None:
                raise Refused(Refusal.ALREADY_EXISTS)
            decision = await self._decide(None, CreateExecution(created), created.closure)
            try:
                recorded = await self._log.append(subject, decision.facts, head=Head.EMPTY, cause=cause)
            except Conflict:
                lane.head = None
                raise Refused(Refusal.ALREADY_EXISTS) from None
            lane.state, lane.head = decision.state, recorded.head
        self._to_start.put_nowait((key, Cause.service("execution", recorded)))

    async def start(self, key: ExecutionKey, cause: Cause) -> None:
        """Runs the first nodes; finds nothing to do when they run already. Raises as `dispatch`."""
        async with self._starting:
            await self.dispatch(key, StartExecution(), cause)

    async def dispatch(self, key: ExecutionKey, command: Command, cause: Cause) -> Recorded | None:
        """Gives a command; returns what was appended, None when there was nothing to do.

        Raises:
            Refused: the command cannot be obeyed; NOT_FOUND when there is no such execution.
            LogUnavailable: it is not known whether the command took effect. Giving it again is safe.
        """
        async with self._lane(key) as lane:
            for _ in range(_MAX_CONFLICTS):
                state = await self._current(key, lane)
                if state is None or lane.head is None:
                    raise Refused(Refusal.NOT_FOUND)
                decision = await self._decide(state, command, state.created.closure)
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
                for uri, literals in decision.data.items():
                    self._literals.keep(uri, literals)
                metrics.facts_total.inc(len(decision.facts))
                return recorded
        raise LogUnavailable(f"execution {'/'.join(key)} is changed by others all the time")

    async def state(self, key: ExecutionKey) -> Execution | None:
        """The execution as folded here, which may lag behind what another process has appended."""
        async with self._lane(key) as lane:
            return await self._current(key, lane)

    async def _current(self, key: ExecutionKey, lane: _Lane) -> Execution | None:
        if lane.head is None:
            records = await self._log.load(_subject(key))
            lane.state = fold(fact for record in records for fact in record.facts) if records else None
            lane.head = records[-1].head if records else None
        return lane.state

    async def _is_current(self, key: ExecutionKey, head: Head) -> bool:
        """Whether nobody else has appended: only then "nothing to do" is the last word."""
        return await self._log.last_sequence(_subject(key)) == head.sequence

    async def _decide(self, state: Execution | None, command: Command, closure: DataRef) -> Decision:
        program = await self.program(closure)
        needed: dict[str, LiteralMap] = {}
        data: Mapping[str, LiteralMap] = ChainMap(needed, self._literals)  # pyright: ignore[reportArgumentType]
        started = time.perf_counter()
        waited = 0.0
        try:
            while True:
                context = Context(now=self._clock(), program=program, data=data, settings=self._engine)
                try:
                    return decide(state, command, context)
                except NeedData as need:
                    before = time.perf_counter()
                    needed.update(await self._read(need.uris))
                    waited += time.perf_counter() - before
        finally:
            metrics.decision_seconds.labels(type(command).__name__).observe(time.perf_counter() - started - waited)

    async def program(self, closure: DataRef) -> Program:
        """The parsed closure, kept at hand by its content's hash."""
        program = self._programs.get(closure.sha256)
        if program is None:
            data = await self._blobs.verified(closure)
            program = Program.parse(CompiledWorkflowClosure.FromString(data))
            self._programs[closure.sha256] = program
            if len(self._programs) > _KEPT_PROGRAMS:
                self._programs.popitem(last=False)
        return program

    async def _read(self, uris: Sequence[str]) -> dict[str, LiteralMap]:
        found = await asyncio.gather(*(self._blobs.get(uri) for uri in uris))
        literals = {uri: LiteralMap.FromString(data) for uri, data in zip(uris, found, strict=True)}
        for uri, values in literals.items():
            self._literals.keep(uri, values)
        return literals

    async def _start_created(self) -> None:
        while True:
            key, cause = await self._to_start.get()
            try:
                await self.start(key, cause)
            except Exception:  # noqa: BLE001 - the edge of a task: the durable consumer tries the same again and parks it
                _log.exception("execution.start_failed", execution="/".join(key))

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

    def _forget_idle(self) -> None:
        while len(self._lanes) > self._kept:
            oldest = next(iter(self._lanes))
            if self._lanes[oldest].users:
                self._lanes.move_to_end(oldest)
                return
            del self._lanes[oldest]


def _subject(key: ExecutionKey) -> Subject:
    subject = subjects.execution(key)
    if subject is None:
        raise Refused(Refusal.NOT_FOUND)
    return subject
