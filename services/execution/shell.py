"""The shell around the pure engine: load or reuse the folded state, decide, write what was decided, append.

One execution's commands are taken one after another (`_Lane`), different executions' side by side. Two processes may
still decide for the same execution at once: then the log lets one of them append, and the other loads what happened and
decides again. So it makes no difference for the outcome how often a command is given, or by whom.
"""

import asyncio
import time
from collections import ChainMap, OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing, BlobStore
from flightlog_log import Cause, Conflict, Head, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated, RecoveryPlan
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
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
    NeedProgram,
    NeedRecovery,
    ObserveAttempt,
    Offloading,
    Program,
    ProgramError,
    Recovery,
    Refusal,
    Refused,
    StartExecution,
    decide,
    fold,
    recovery_plan,
)
from services.execution.literals import LiteralCache, load_offloaded
from services.execution.lookup import Lookup
from services.execution.programs import ProgramCache
from services.execution.results import load_result
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
    # What may be reused of the execution that this one recovers, once it was needed.
    recovery: Recovery | None = None


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
        self._lookup = lookup
        self._clock = clock
        self._kept = settings.cached_executions
        self._read_bytes = settings.read_bytes
        self._futures_bytes = settings.futures_bytes
        self._engine = engine_settings(settings)
        self._lanes: OrderedDict[ExecutionKey, _Lane] = OrderedDict()
        self._programs = ProgramCache(settings.cached_nodes)
        self._literals = LiteralCache[LiteralMap](settings.cached_data_bytes)
        self._offloaded = LiteralCache[Literal](settings.cached_data_bytes)
        self._offloaded_bytes = settings.offloading.read_bytes
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
        self._literals.keep(created.inputs.uri, inputs)
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
        """The execution as the log has it now; None when there is none of this name.

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
                program = await self._program_or_why(state.created.closure)
                try:
                    decision = await self._decide(lane, state, await self._with_result(state, command), program)
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
                for uri, literals in decision.data.items():
                    self._literals.keep(uri, literals)
                for digest, program in decision.programs.items():
                    self._programs.keep(digest, program)
                metrics.facts_total.inc(len(decision.facts))
                return recorded
        raise LogUnavailable(f"execution {'/'.join(key)} is changed by others all the time")

    async def _current(self, key: ExecutionKey, lane: _Lane) -> Execution | None:
        if lane.head is None:
            records = await self._log.load(_subject(key))
            lane.state = fold(fact for record in records for fact in record.facts) if records else None
            lane.head = records[-1].head if records else None
        return lane.state

    async def _is_current(self, key: ExecutionKey, head: Head) -> bool:
        """Whether nobody else has appended: only then "nothing to do" is the last word."""
        return await self._log.last_sequence(_subject(key)) == head.sequence

    async def _with_result(self, state: Execution, command: Command) -> Command:
        """An ended attempt's observation, with what the attempt left behind where this state waits for it."""
        if not isinstance(command, ObserveAttempt) or command.observation.stage != AttemptObserved.EXITED:
            return command
        node = state.nodes.get(command.observation.node_id)
        attempt = node.live_attempt if node is not None else None
        if attempt is None or attempt.number != command.observation.attempt:
            return command
        result = await load_result(
            self._blobs,
            self._lookup,
            attempt.output_prefix,
            limit=self._read_bytes,
            futures_limit=self._futures_bytes,
            plugin=command.observation.plugin,
        )
        return replace(command, result=result)

    async def _decide(self, lane: _Lane, state: Execution | None, command: Command, program: Program) -> Decision:
        needed: dict[str, LiteralMap] = {}
        lost: dict[str, str] = {}
        data: Mapping[str, LiteralMap] = ChainMap(needed, self._literals)  # pyright: ignore[reportArgumentType]
        loaded: dict[bytes, Program] = {}
        programs: Mapping[bytes, Program] = ChainMap(loaded, self._programs)  # pyright: ignore[reportArgumentType]
        offloaded: dict[str, Literal] = {}
        at_hand: Mapping[str, Literal] = ChainMap(offloaded, self._offloaded)  # pyright: ignore[reportArgumentType]
        started = time.perf_counter()
        waited = 0.0
        try:
            while True:
                context = Context(self._clock(), program, data, self._engine, lost, programs, at_hand, lane.recovery)
                try:
                    return decide(state, command, context)
                except NeedData as need:
                    before = time.perf_counter()
                    await self._read(need.uris, needed, lost)
                    await self._read_offloaded(need.offloaded, offloaded, lost)
                    waited += time.perf_counter() - before
                except NeedProgram as need:
                    before = time.perf_counter()
                    loaded[need.closure.sha256] = await self._program_or_why(need.closure)
                    waited += time.perf_counter() - before
                except NeedRecovery as need:
                    before = time.perf_counter()
                    await self._load_recovery(need.plan, lane, lost)
                    waited += time.perf_counter() - before
        finally:
            metrics.decision_seconds.labels(type(command).__name__).observe(time.perf_counter() - started - waited)

    async def program(self, closure: DataRef) -> Program:
        """The parsed closure, kept at hand by its content's hash.

        Raises:
            ProgramError: it is lost or damaged, or this release cannot run it.
            BlobError: the object store cannot be reached.
        """
        program = self._programs.get(closure.sha256)
        if program is not None:
            return program
        try:
            program = Program.parse(CompiledWorkflowClosure.FromString(await self._blobs.verified(closure)))
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            raise ProgramError(f"the compiled workflow cannot be read: {error}") from error
        self._programs.keep(closure.sha256, program)
        return program

    async def _program_or_why(self, closure: DataRef) -> Program:
        try:
            return await self.program(closure)
        except ProgramError as error:
            return Program.unrunnable(str(error))

    async def _load_recovery(self, plan: DataRef, lane: _Lane, lost: dict[str, str]) -> None:
        """Reads what may be reused, or says why it is lost. Raises BlobError."""
        try:
            lane.recovery = Recovery.of(RecoveryPlan.FromString(await self._blobs.verified(plan)))
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            lost[plan.uri] = str(error)

    async def recovery_plan(self, key: ExecutionKey) -> RecoveryPlan | None:
        """What another execution may reuse of this one, as it is now; None when there is none of this name.

        Raises:
            LogUnavailable: the log or the object store cannot be reached.
        """
        if subjects.execution(key) is None:
            return None
        history = [fact for record in await self._log.load(_subject(key)) for fact in record.facts]
        if not history:
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

    async def _read(self, uris: Sequence[str], found: dict[str, LiteralMap], lost: dict[str, str]) -> None:
        """Adds the literal maps of uris to those found, or says why they are lost. Raises BlobError."""
        # The outputs of a map's elements may be thousands; who waits for a connection for long gets none.
        for start in range(0, len(uris), _READS_AT_ONCE):
            some = uris[start : start + _READS_AT_ONCE]
            for uri, data in zip(some, await asyncio.gather(*map(self._blobs.get_or_none, some)), strict=True):
                if data is None:
                    lost[uri] = "it does not exist"
                    continue
                try:
                    found[uri] = LiteralMap.FromString(data)
                except DecodeError:
                    lost[uri] = "it holds no literals"
                else:
                    self._literals.keep(uri, found[uri])

    async def _read_offloaded(self, uris: Sequence[str], found: dict[str, Literal], lost: dict[str, str]) -> None:
        for uri in uris:
            loaded = await load_offloaded(self._blobs, uri, self._offloaded_bytes)
            if isinstance(loaded, str):
                lost[uri] = loaded
            else:
                found[uri] = loaded
                self._offloaded.keep(uri, loaded)

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


def engine_settings(settings: ExecutionSettings) -> EngineSettings:
    """What of the service's settings decisions depend on."""
    retries, deadlines, offloading = settings.retries, settings.deadlines, settings.offloading
    return EngineSettings(
        max_system_failures=retries.max_system_failures,
        ignore_retry_cause=retries.ignore_cause,
        default_max_attempts=retries.default_max_attempts,
        interruptible_failure_threshold=retries.interruptible_failure_threshold,
        attempt_timeout=deadlines.attempt,
        node_timeout=deadlines.node,
        queueing_budget=deadlines.queueing,
        retry_backoff_base=retries.backoff_base,
        retry_backoff_max=retries.backoff_max,
        offloading=Offloading(min_mib=offloading.min_mib, max_mib=offloading.max_mib) if offloading.enabled else None,
        caching=settings.caching,
    )
