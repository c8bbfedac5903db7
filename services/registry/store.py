"""The registry's access to the log, the object store and its tables: what `api/` decides with and writes through.

Versions are read straight from their subjects and kept, so a Get sees what was just created, on whichever replica.
Lists are read from the tables after these have caught up with the stream (DESIGN §4).
"""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from datetime import UTC, datetime
from typing import TypeVar, cast

import structlog
from flyteidl.admin import common_pb2
from flyteidl.core import compiler_pb2, identifier_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobStore
from flightlog_log import Cause, Conflict, Head, Log, Subject
from flightlog_protos.log.v1 import envelope_pb2
from flightlog_protos.registry.v1 import facts_pb2
from flightlog_read import Projector
from flightlog_rpc import as_of
from flightlog_rpc.moments import Moment
from services.registry import domain, subjects
from services.registry.cache import MessageCache
from services.registry.projection.past import PastQueries
from services.registry.projection.queries import Queries
from services.registry.refusals import Refusal, invalid
from services.registry.settings import RegistrySettings

CLOSURES = "metadata/admin/closures"
"""Where compiled closures are in the object store, each under the hash of its bytes."""

MAX_CONFLICTS = 20
"""How often a decision is made anew because somebody else was first, before the call is UNAVAILABLE."""

MAX_STATES = 10_000
"""Folded states kept at hand."""

S = TypeVar("S")
F = TypeVar("F", bound=Message)
logger = structlog.get_logger(__name__)


def now() -> Timestamp:
    """The time of a new fact, in microseconds: what the tables can tell apart."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC))
    return stamp


class _Kept:
    """An aggregate's folded state and where on its subject it was folded to."""

    __slots__ = ("head", "state")

    def __init__(self, head: Head, state: object) -> None:
        self.head = head
        self.state = state


class Store:
    """One per process. `queries` reads the tables; call `caught_up` first."""

    def __init__(
        self, log: Log, blobs: BlobStore, projector: Projector, queries: Queries, settings: RegistrySettings
    ) -> None:
        self.log = log
        self.blobs = blobs
        self.queries = queries
        self.settings = settings
        self.domains = frozenset(one.id for one in settings.domains)
        self._projector = projector
        self._versions: MessageCache[Message] = MessageCache(settings.cache_bytes)
        self._closures: MessageCache[compiler_pb2.CompiledWorkflowClosure] = MessageCache(settings.cache_bytes)
        self._states: dict[str, _Kept] = {}
        self._sequence: int | None = None

    async def as_of(self, moment: Moment) -> "Store":
        """The same store as it was at a moment, to be read only. Raises `RpcError`: OUT_OF_RANGE."""
        then = copy(self)
        then._sequence = await as_of.sequence_of(self.log, subjects.STREAM, moment)
        return then

    # --- versions: aggregates of one fact --------------------------------------------------------------------------

    async def task(self, identifier: identifier_pb2.Identifier) -> facts_pb2.TaskRegistered | None:
        """The registered task version, or None."""
        return await self._version(identifier, identifier_pb2.TASK, facts_pb2.TaskRegistered)

    async def workflow(self, identifier: identifier_pb2.Identifier) -> facts_pb2.WorkflowRegistered | None:
        """The registered workflow version, or None."""
        return await self._version(identifier, identifier_pb2.WORKFLOW, facts_pb2.WorkflowRegistered)

    async def launch_plan(self, identifier: identifier_pb2.Identifier) -> facts_pb2.LaunchPlanRegistered | None:
        """The registered launch plan version, or None."""
        return await self._version(identifier, identifier_pb2.LAUNCH_PLAN, facts_pb2.LaunchPlanRegistered)

    async def _version(
        self, identifier: identifier_pb2.Identifier, resource_type: identifier_pb2.ResourceType, fact_type: type[F]
    ) -> F | None:
        try:
            subject = subjects.version(domain.of_type(identifier, resource_type))
        except Refusal:
            return None  # what no creation would accept was never registered
        kept = self._versions.get(subject.text) if self._sequence is None else None
        if kept is not None:
            return cast(F, kept)
        for record in await self.log.load(subject, until=self._sequence):
            for fact in record.facts:
                if isinstance(fact, fact_type):
                    self._versions.put(subject.text, fact)
                    return fact
        return None

    async def register(self, subject: Subject, fact: Message, cause: Cause) -> bool:
        """Append the one fact of a version. False when the version is there already."""
        try:
            await self.log.append(subject, [fact], head=Head.EMPTY, cause=cause)
        except Conflict:
            return False
        self._versions.put(subject.text, fact)
        return True

    # --- aggregates with a life ------------------------------------------------------------------------------------

    async def project(self, identifier: str) -> domain.ProjectState | None:
        """The project as it is now, or None."""
        kept = await self._state(subjects.project(identifier), domain.evolve_project, None)
        return cast(domain.ProjectState | None, kept.state)

    async def change_project(
        self, identifier: str, decide: Callable[[domain.ProjectState | None], Sequence[Message]], cause: Cause
    ) -> None:
        """Decide about a project and append what was decided."""
        await self._change(subjects.project(identifier), domain.evolve_project, None, decide, cause)

    async def activation(
        self, identifier: identifier_pb2.Identifier | common_pb2.NamedEntityIdentifier
    ) -> domain.Activation:
        """Which version of a launch plan name is active now."""
        kept = await self._state(subjects.activation(identifier), domain.evolve_activation, domain.Activation())
        return cast(domain.Activation, kept.state)

    async def change_activation(
        self,
        identifier: identifier_pb2.Identifier,
        decide: Callable[[domain.Activation], Sequence[Message]],
        cause: Cause,
    ) -> None:
        """Decide about the versions of a launch plan name and append what was decided."""
        subject = subjects.activation(identifier)
        await self._change(subject, domain.evolve_activation, domain.Activation(), decide, cause)

    async def change_named_entity(
        self,
        resource_type: identifier_pb2.ResourceType,
        identifier: common_pb2.NamedEntityIdentifier,
        decide: Callable[[common_pb2.NamedEntityMetadata], Sequence[Message]],
        cause: Cause,
    ) -> None:
        """Decide about the description and state of a name and append what was decided."""
        subject = subjects.named_entity(resource_type, identifier)
        await self._change(subject, domain.evolve_metadata, common_pb2.NamedEntityMetadata(), decide, cause)

    async def _state(self, subject: Subject, evolve: Callable[[S, Message], S], empty: S) -> _Kept:
        """The folded state, brought up to date: one small look-up when nothing happened since the last time."""
        past = self._sequence is not None
        kept = None if past else self._states.get(subject.text)
        if kept is not None and kept.head.sequence == await self.log.last_sequence(subject):
            return kept
        head, state = (kept.head, cast(S, kept.state)) if kept is not None else (Head.EMPTY, empty)
        for record in await self.log.load(subject, after=head, until=self._sequence):
            for fact in record.facts:
                state = evolve(state, fact)
            head = record.head
        kept = _Kept(head, state)
        if head.sequence and not past:
            # Only what exists is kept, so that asking for invented names costs no memory.
            self._states.pop(subject.text, None)
            self._states[subject.text] = kept
            if len(self._states) > MAX_STATES:
                del self._states[next(iter(self._states))]
        return kept

    async def _change(
        self,
        subject: Subject,
        evolve: Callable[[S, Message], S],
        empty: S,
        decide: Callable[[S], Sequence[Message]],
        cause: Cause,
    ) -> None:
        for _ in range(MAX_CONFLICTS):
            kept = await self._state(subject, evolve, empty)
            facts = decide(cast(S, kept.state))
            if not facts:
                return
            try:
                await self.log.append(subject, facts, head=kept.head, cause=cause)
            except Conflict:
                continue
            return
        raise Refusal("UNAVAILABLE", "too many changes at once; try again")

    async def forget(self, project: str) -> None:
        """Read what is registered in a project from the log again: its personal data may be gone."""
        self._versions.clear()
        for subject in [subject for subject in self._states if project in Subject.parse(subject).parts]:
            del self._states[subject]

    # --- what every creation checks --------------------------------------------------------------------------------

    async def require_project_and_domain(self, project: str, domain_id: str) -> None:
        """The project is registered and active, the domain is configured (admin-contract §0.6).

        Raises:
            Refusal: INVALID_ARGUMENT.
        """
        state = await self.project(project)
        if state is None:
            raise invalid(
                f"failed to validate that project [{project}] and domain [{domain_id}] are registered, "
                f"err: [project [{project}] not found]"
            )
        if not state.is_active:
            raise domain.inactive_project(project)
        if domain_id not in self.domains:
            raise invalid(f"domain [{domain_id}] is unrecognized by system")

    # --- closures --------------------------------------------------------------------------------------------------

    async def put_closure(self, closure: compiler_pb2.CompiledWorkflowClosure) -> envelope_pb2.DataRef:
        """Write a compiled closure under the hash of its bytes."""
        ref = await self.blobs.put_content(CLOSURES, closure.SerializeToString(deterministic=True))
        self._closures.put(ref.sha256, closure)
        return ref

    async def closure(self, ref: envelope_pb2.DataRef) -> compiler_pb2.CompiledWorkflowClosure:
        """Read a compiled closure, checked against its hash."""
        kept = self._closures.get(ref.sha256)
        if kept is not None:
            return kept
        closure = compiler_pb2.CompiledWorkflowClosure.FromString(await self.blobs.verified(ref))
        self._closures.put(ref.sha256, closure)
        return closure

    # --- tables ----------------------------------------------------------------------------------------------------

    async def caught_up(self) -> Queries:
        """The tables, holding everything that is on the stream now, or was at the moment of this store."""
        if self._sequence is not None:
            await self._projector.wait_for(self._sequence)
            return PastQueries(self.queries, self.log, self._sequence)
        await self._projector.wait_for(await self.log.stream_sequence(subjects.STREAM))
        return self.queries

    async def register_default_projects(self) -> None:
        """Register the configured projects that are not there yet; several replicas may do so at once."""
        cause = Cause.service("registry")
        async with asyncio.TaskGroup() as group:
            for one in self.settings.projects:
                group.create_task(self._register_default(one.id, one.name, one.description, cause))

    async def _register_default(self, identifier: str, name: str, description: str, cause: Cause) -> None:
        def decide(state: domain.ProjectState | None) -> Sequence[Message]:
            return [] if state is not None else domain.new_project(identifier, name, description, now())

        await self.change_project(identifier, decide, cause)
