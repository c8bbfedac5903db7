"""Task templates of attempts, and what goes into their commands.

The template lies in the compiled workflow that `AttemptScheduled` names; the closures used last are kept, because the
attempts of one workflow come together.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from flyteidl.core import compiler_pb2, execution_pb2, literals_pb2, tasks_pb2
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobCorrupt, BlobMissing, BlobStore
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.templates import TemplateValues, refers_to_inputs, refers_to_task_template

_CLOSURES_KEPT = 64
_USER = execution_pb2.ExecutionError.USER
_SYSTEM = execution_pb2.ExecutionError.SYSTEM


class NotLaunchable(Exception):
    """An attempt cannot be started. `recoverable` says whether another attempt may help."""

    def __init__(self, code: str, message: str, *, system: bool = False, recoverable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.system = system
        self.recoverable = recoverable

    def error(self) -> execution_pb2.ExecutionError:
        """The same as Flyte's message."""
        return execution_pb2.ExecutionError(
            code=self.code, message=self.message, kind=_SYSTEM if self.system else _USER
        )


class TaskTemplates:
    """Finds task templates and inputs. Raises `NotLaunchable`, or what the object store raises while it is away."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self._templates: OrderedDict[bytes, asyncio.Future[dict[str, tasks_pb2.TaskTemplate]]] = OrderedDict()

    async def template(self, scheduled: AttemptScheduled) -> tasks_pb2.TaskTemplate:
        """The template of an attempt's task. It is shared: not to be changed."""
        task = scheduled.task_id
        templates = await self._closure(scheduled)
        template = templates.get(_id_text(task))
        if template is None:
            raise NotLaunchable(
                "TaskTemplateMissing",
                f"the workflow at {scheduled.closure.uri} lacks the task {task.name!r} version {task.version!r}",
                system=True,
            )
        return template

    async def values(
        self, scheduled: AttemptScheduled, template: tasks_pb2.TaskTemplate, command: Sequence[str], namespace: str
    ) -> TemplateValues:
        """What the placeholders in a command stand for. Uploads the template when the command refers to it."""
        data_prefix = scheduled.output_prefix.rpartition("/")[0]
        template_uri = f"{data_prefix}/task.pb"
        if refers_to_task_template(command):
            await self.blobs.put(template_uri, template.SerializeToString())
        return TemplateValues(
            input_uri=scheduled.inputs.uri or f"{data_prefix}/inputs.pb",
            output_prefix=scheduled.output_prefix,
            raw_output_prefix=scheduled.raw_output_prefix,
            checkpoint_prefix=scheduled.checkpoint_prefix,
            previous_checkpoint_prefix=await self._previous_checkpoint(scheduled),
            task_template_uri=template_uri,
            generated_name=scheduled.generated_name,
            namespace=namespace,
        )

    async def inputs(self, scheduled: AttemptScheduled, command: Sequence[str]) -> literals_pb2.LiteralMap | None:
        """The attempt's inputs when the command refers to one of them; else None."""
        return await self.literals(scheduled) if refers_to_inputs(command) else None

    async def literals(self, scheduled: AttemptScheduled) -> literals_pb2.LiteralMap:
        """The attempt's inputs."""
        if not scheduled.inputs.uri:
            return literals_pb2.LiteralMap()
        try:
            return literals_pb2.LiteralMap.FromString(await self.blobs.verified(scheduled.inputs))
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            raise NotLaunchable(
                "FailedToBuildResource", f"the inputs at {scheduled.inputs.uri} cannot be read: {error}", system=True
            ) from error

    async def _closure(self, scheduled: AttemptScheduled) -> dict[str, tasks_pb2.TaskTemplate]:
        key = scheduled.closure.sha256 or scheduled.closure.uri.encode()
        pending = self._templates.get(key)
        if pending is None:
            pending = asyncio.ensure_future(self._load(scheduled))
            self._templates[key] = pending
            while len(self._templates) > _CLOSURES_KEPT:
                self._templates.popitem(last=False)
        else:
            self._templates.move_to_end(key)
        try:
            # Shielded: the one who loads may be cancelled while others wait for the same closure.
            return await asyncio.shield(pending)
        except BaseException:
            if pending.done() and self._templates.get(key) is pending:
                del self._templates[key]
            raise

    async def _load(self, scheduled: AttemptScheduled) -> dict[str, tasks_pb2.TaskTemplate]:
        try:
            content = await self.blobs.verified(scheduled.closure)
            closure = compiler_pb2.CompiledWorkflowClosure.FromString(content)
        except (BlobMissing, BlobCorrupt, DecodeError) as error:
            raise NotLaunchable(
                "TaskTemplateMissing",
                f"the compiled workflow at {scheduled.closure.uri} cannot be read: {error}",
                system=True,
                recoverable=True,
            ) from error
        return {_id_text(task.template.id): task.template for task in closure.tasks}

    async def _previous_checkpoint(self, scheduled: AttemptScheduled) -> str:
        """Where the attempt before left its checkpoint, if it left one: flytekit fails where it finds none."""
        prefix = scheduled.previous_checkpoint_prefix
        # Elsewhere users keep their data with keys of their own.
        if not prefix.startswith(self.blobs.uri("")):
            return prefix
        return prefix if await self.blobs.has_any(prefix) else ""


def _id_text(identifier: Any) -> str:
    return "\0".join((identifier.project, identifier.domain, identifier.name, identifier.version))
