"""What the registry decided, read from its subjects on the log: projects, launch plans, tasks.

Versions never change, so their facts are kept for good (as far as memory goes). A project may, and what is set for it
(matchable attributes): its last sequence is asked each time, which costs one small look-up.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import grpc
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.project_pb2 import InactiveProject, Project
from flyteidl.core.compiler_pb2 import CompiledTask
from flyteidl.core.identifier_pb2 import TASK, WORKFLOW, Identifier
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import Message

from flightlog_compiler import LaunchPlanInterface
from flightlog_log import Head, Recorded, Subject
from flightlog_protos.registry.v1.facts_pb2 import (
    LaunchPlanRegistered,
    ProjectRegistered,
    ProjectUpdated,
    TaskRegistered,
)
from flightlog_rpc import RpcError, invalid, missing_entity
from flightlog_types import matchable, prototext
from services.execution import subjects
from services.execution.creation.created import Launchable
from services.execution.creation.inputs import expected_of_task

GENERATED = ".flytegen."
"""Prefix of workflows that the registry makes for single tasks (admin-contract §4.7)."""

_F = TypeVar("_F", bound=Message)
_KEPT = 4096


class Subjects(Protocol):
    """Where facts are read: a log, or what was taken from one."""

    async def load(self, subject: Subject | str, *, after: Head = ...) -> list[Recorded]: ...
    async def last_sequence(self, subject: Subject | str) -> int: ...


@dataclass(frozen=True, slots=True)
class KnownProject:
    """A project as it is now."""

    head: Head
    project: Project
    attributes: matchable.Attributes
    """What administrators set for it, its domains and workflows."""


@dataclass(slots=True)
class Lookup:
    """Reads of the registry's facts. Raises `RpcError` in the words of the calls that need them."""

    log: Subjects
    domains: Sequence[str]
    _versions: OrderedDict[Subject, Launchable] = field(default_factory=OrderedDict[Subject, Launchable])
    _projects: dict[str, KnownProject] = field(default_factory=dict[str, KnownProject])

    async def project(self, project: str, domain: str) -> KnownProject:
        """The project an execution is created in.

        Raises:
            RpcError: INVALID_ARGUMENT when it is unknown or archived, or the domain is unknown (admin-contract §0.6).
        """
        found = await self._project(project)
        if found is None:
            raise invalid(
                f"failed to validate that project [{project}] and domain [{domain}] are registered, "
                f"err: [project [{project}] not found]"
            )
        if found.project.state != Project.ACTIVE:
            raise RpcError(
                grpc.StatusCode.INVALID_ARGUMENT, f"project [{project}] is not active", InactiveProject(id=project)
            )
        if domain not in self.domains:
            raise invalid(f"domain [{domain}] is unrecognized by system")
        return found

    async def attributes(self, project: str) -> matchable.Attributes:
        """What is set within a project, be it archived; nothing within one that is not there."""
        found = await self._project(project)
        return matchable.NONE if found is None else found.attributes

    async def labels(self, project: str) -> dict[str, str]:
        """A project's labels, be it archived; none of one that is not there."""
        found = await self._project(project)
        return {} if found is None else dict(found.project.labels.values)

    async def forget(self, project: str) -> None:
        """Read what is registered in a project from the log again: its personal data may be gone."""
        for subject in [subject for subject in self._versions if subject.parts[1] == project]:
            del self._versions[subject]

    async def launchable(self, identifier: Identifier) -> Launchable:
        """The launch plan or task that an execution starts from.

        Raises:
            RpcError: NOT_FOUND.
        """
        subject = subjects.version(identifier)
        if subject is None:
            raise _missing(identifier)
        known = self._versions.get(subject)
        if known is not None:
            self._versions.move_to_end(subject)
            return known
        of_task = identifier.resource_type == TASK
        found = await self._task(subject, identifier) if of_task else await self._launch_plan(subject, identifier)
        self._versions[subject] = found
        if len(self._versions) > _KEPT:
            self._versions.popitem(last=False)
        return found

    async def launch_plan_interface(self, identifier: Identifier) -> LaunchPlanInterface | None:
        """What a node that runs a launch plan takes and gives; None when there is none of this identifier."""
        try:
            found = await self.launchable(identifier)
        except RpcError:
            return None
        return LaunchPlanInterface(identifier, found.expected_inputs, found.expected_outputs, found.fixed_inputs)

    async def compiled_task(self, identifier: Identifier) -> CompiledTask | None:
        """A registered task; None when there is none of this identifier."""
        subject = subjects.version(identifier)
        fact = None if subject is None else await self._fact(subject, TaskRegistered)
        return None if fact is None else fact.compiled_task

    async def _project(self, project: str) -> KnownProject | None:
        subject = subjects.project(project)
        if subject is None:
            return None
        known = self._projects.get(project)
        sequence = await self.log.last_sequence(subject)
        if sequence == 0:
            return None
        if known is not None and known.head.sequence == sequence:
            return known
        for recorded in await self.log.load(subject, after=Head.EMPTY if known is None else known.head):
            for fact in recorded.facts:
                known = _evolve(known, fact)
            if known is not None:
                known = replace(known, head=recorded.head)
        if known is not None:
            self._projects[project] = known
        return known

    async def _launch_plan(self, subject: Subject, identifier: Identifier) -> Launchable:
        fact = await self._fact(subject, LaunchPlanRegistered)
        if fact is None:
            return await self._generated_launch_plan(identifier)
        return Launchable(
            spec=fact.spec,
            workflow_id=fact.spec.workflow_id,
            closure=fact.closure,
            expected_inputs=fact.expected_inputs,
            fixed_inputs=fact.spec.fixed_inputs,
            expected_outputs=fact.expected_outputs,
        )

    async def _generated_launch_plan(self, identifier: Identifier) -> Launchable:
        """The launch plan that stands for a single task: GetLaunchPlan answers it, so it can be run too."""
        task = Identifier()
        task.CopyFrom(identifier)
        task.resource_type = TASK
        task.name = identifier.name.removeprefix(GENERATED)
        subject = subjects.version(task)
        if task.name == identifier.name or subject is None:
            raise _missing(identifier)
        try:
            return await self._task(subject, task)
        except RpcError:
            raise _missing(identifier) from None

    async def _task(self, subject: Subject, identifier: Identifier) -> Launchable:
        fact = await self._fact(subject, TaskRegistered)
        if fact is None:
            raise _missing(identifier)
        template = fact.compiled_task.template
        workflow_id = Identifier(
            resource_type=WORKFLOW,
            project=identifier.project,
            domain=identifier.domain,
            name=f"{GENERATED}{identifier.name}",
            version=identifier.version,
        )
        return Launchable(
            spec=LaunchPlanSpec(security_context=template.security_context),
            workflow_id=workflow_id,
            closure=fact.generated_closure,
            expected_inputs=expected_of_task(template.interface),
            fixed_inputs=LiteralMap(),
            expected_outputs=template.interface.outputs,
        )

    async def _fact(self, subject: Subject, kind: type[_F]) -> _F | None:
        for recorded in await self.log.load(subject):
            for fact in recorded.facts:
                if isinstance(fact, kind):
                    return fact
        return None


def _evolve(known: KnownProject | None, fact: Message) -> KnownProject | None:
    if isinstance(fact, ProjectRegistered | ProjectUpdated):
        attributes = matchable.NONE if known is None else known.attributes
        return KnownProject(Head.EMPTY, fact.project, attributes)
    if known is None:
        return None
    return replace(known, attributes=matchable.evolve(known.attributes, fact))


def _missing(identifier: Identifier) -> RpcError:
    shown = Identifier(
        project=identifier.project, domain=identifier.domain, name=identifier.name, version=identifier.version
    )
    return missing_entity("TASK" if identifier.resource_type == TASK else "LAUNCH_PLAN", prototext(shown))
