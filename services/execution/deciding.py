"""Decisions with what lies in the object store: what the engine asks for is loaded, and it decides again.

The same code for what happens now and for what happened long ago: `Shell` gives it the commands of today, a replay
those of the log.
"""

import asyncio
import time
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobCorrupt, BlobMissing, BlobStore
from flightlog_protos.execution.v1.facts_pb2 import RecoveryPlan
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine import (
    Command,
    Context,
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
    decide,
)
from services.execution.literals import LiteralCache, load_offloaded
from services.execution.lookup import Lookup
from services.execution.programs import ProgramCache
from services.execution.results import load_result
from services.execution.settings import ExecutionSettings

_READS_AT_ONCE = 64


@dataclass(slots=True)
class Reusable:
    """What may be reused of the execution that another one recovers, once a decision needed it."""

    recovery: Recovery | None = None


class Decider:
    """Decides, and keeps what it loaded at hand for the next decisions.

    Args:
        engine: what decisions depend on; of `settings` unless told.
        took: told of each decision which command it was, and the seconds it took without those of loading.
    """

    def __init__(
        self,
        blobs: BlobStore,
        lookup: Lookup,
        settings: ExecutionSettings,
        *,
        engine: EngineSettings | None = None,
        took: Callable[[Command, float], None] | None = None,
    ) -> None:
        self._blobs = blobs
        self._lookup = lookup
        self._read_bytes = settings.read_bytes
        self._futures_bytes = settings.futures_bytes
        self._engine = engine or engine_settings(settings)
        self._took = took
        self.programs = ProgramCache(settings.cached_nodes)
        self.literals = LiteralCache[LiteralMap](settings.cached_data_bytes)
        self.offloaded = LiteralCache[Literal](settings.cached_data_bytes)
        self._offloaded_bytes = settings.offloading.read_bytes

    async def with_result(self, state: Execution | None, command: Command) -> Command:
        """An ended attempt's observation, with what the attempt left behind where this state waits for it."""
        if not isinstance(command, ObserveAttempt) or command.observation.stage != AttemptObserved.EXITED:
            return command
        node = state.nodes.get(command.observation.node_id) if state is not None else None
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

    async def decide(
        self,
        state: Execution | None,
        command: Command,
        program: Program,
        clock: Callable[[], datetime],
        reusable: Reusable,
    ) -> Decision:
        """What follows from a command.

        Raises:
            Refused: the command cannot be obeyed.
            BlobError: the object store cannot be reached.
        """
        decision, _ = await self.decide_with_context(state, command, program, clock, reusable, {})
        return decision

    async def decide_with_context(
        self,
        state: Execution | None,
        command: Command,
        program: Program,
        clock: Callable[[], datetime],
        reusable: Reusable,
        lost: dict[str, str],
    ) -> tuple[Decision, Context]:
        """Likewise, with what the decision was given to look at.

        Args:
            lost: takes up what was asked for and can never be had, and why, by address.
        """
        needed: dict[str, LiteralMap] = {}
        data: Mapping[str, LiteralMap] = ChainMap(needed, self.literals)  # pyright: ignore[reportArgumentType]
        loaded: dict[bytes, Program] = {}
        programs: Mapping[bytes, Program] = ChainMap(loaded, self.programs)  # pyright: ignore[reportArgumentType]
        offloaded: dict[str, Literal] = {}
        at_hand: Mapping[str, Literal] = ChainMap(offloaded, self.offloaded)  # pyright: ignore[reportArgumentType]
        started = time.perf_counter()
        waited = 0.0
        try:
            while True:
                context = Context(clock(), program, data, self._engine, lost, programs, at_hand, reusable.recovery)
                try:
                    return decide(state, command, context), context
                except NeedData as need:
                    before = time.perf_counter()
                    await self._read(need.uris, needed, lost)
                    await self._read_offloaded(need.offloaded, offloaded, lost)
                    waited += time.perf_counter() - before
                except NeedProgram as need:
                    before = time.perf_counter()
                    loaded[need.closure.sha256] = await self.program_or_why(need.closure)
                    waited += time.perf_counter() - before
                except NeedRecovery as need:
                    before = time.perf_counter()
                    await self._load_recovery(need.plan, reusable, lost)
                    waited += time.perf_counter() - before
        finally:
            if self._took is not None:
                self._took(command, time.perf_counter() - started - waited)

    def keep(self, decision: Decision) -> None:
        """Keeps at hand what a decision produced, once it has been written."""
        for uri, literals in decision.data.items():
            self.literals.keep(uri, literals)
        for digest, program in decision.programs.items():
            self.programs.keep(digest, program)

    async def program(self, closure: DataRef) -> Program:
        """The parsed closure, kept at hand by its content's hash.

        Raises:
            ProgramError: it is lost or damaged, or this release cannot run it.
            BlobError: the object store cannot be reached.
        """
        program = self.programs.get(closure.sha256)
        if program is not None:
            return program
        try:
            program = Program.parse(CompiledWorkflowClosure.FromString(await self._blobs.verified(closure)))
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            raise ProgramError(f"the compiled workflow cannot be read: {error}") from error
        self.programs.keep(closure.sha256, program)
        return program

    async def program_or_why(self, closure: DataRef) -> Program:
        """The parsed closure, or one that cannot be run and says why. Raises BlobError."""
        try:
            return await self.program(closure)
        except ProgramError as error:
            return Program.unrunnable(str(error))

    async def _load_recovery(self, plan: DataRef, reusable: Reusable, lost: dict[str, str]) -> None:
        """Reads what may be reused, or says why it is lost. Raises BlobError."""
        try:
            reusable.recovery = Recovery.of(RecoveryPlan.FromString(await self._blobs.verified(plan)))
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            lost[plan.uri] = str(error)

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
                    self.literals.keep(uri, found[uri])

    async def _read_offloaded(self, uris: Sequence[str], found: dict[str, Literal], lost: dict[str, str]) -> None:
        for uri in uris:
            loaded = await load_offloaded(self._blobs, uri, self._offloaded_bytes)
            if isinstance(loaded, str):
                lost[uri] = loaded
            else:
                found[uri] = loaded
                self.offloaded.keep(uri, loaded)


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
