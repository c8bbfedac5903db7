"""What connectors are told of an attempt (k8s-contract §5.7): its task with the placeholders filled in, its inputs,
and whose it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flyteidl.admin import agent_pb2
from flyteidl.core import literals_pb2, tasks_pb2
from google.protobuf import json_format, struct_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes.pods.metadata import identifying_labels
from services.k8s_launcher.task_templates import NotLaunchable, TaskTemplates
from services.k8s_launcher.templates import TemplateError, TemplateValues, render

PodOf = Callable[[AttemptScheduled], Awaitable[dict[str, Any]]]
"""Makes the pod that a task describes, as an object of Kubernetes. Raises `NotLaunchable`."""


@dataclass(frozen=True)
class Request:
    """What a connector needs to begin a task."""

    template: tasks_pb2.TaskTemplate
    inputs: literals_pb2.LiteralMap
    output_prefix: str
    metadata: agent_pb2.TaskExecutionMetadata

    def create(self) -> agent_pb2.CreateTaskRequest:
        """For one that is asked again how the task goes."""
        return agent_pb2.CreateTaskRequest(
            inputs=self.inputs,
            template=self.template,
            output_prefix=self.output_prefix,
            task_execution_metadata=self.metadata,
        )

    def header(self) -> agent_pb2.CreateRequestHeader:
        """For one that answers with the result."""
        return agent_pb2.CreateRequestHeader(
            template=self.template, output_prefix=self.output_prefix, task_execution_metadata=self.metadata
        )


class Requests:
    """Makes what connectors are told."""

    def __init__(self, templates: TaskTemplates, *, namespace_template: str, pod_of: PodOf | None = None) -> None:
        self.templates = templates
        self._namespace_template = namespace_template
        self._pod_of = pod_of

    async def request(self, scheduled: AttemptScheduled) -> Request:
        """All that is to be told of an attempt.

        Raises `NotLaunchable`, and what the object store and the Kubernetes API raise while they are away.
        """
        execution = scheduled.execution_id
        namespace = self._namespace_template.format(project=execution.project, domain=execution.domain)
        template = tasks_pb2.TaskTemplate()
        template.CopyFrom(await self.templates.template(scheduled))
        inputs = await self.templates.literals(scheduled)
        if template.WhichOneof("target") == "k8s_pod" and self._pod_of is not None:
            pod = await self._pod_of(scheduled)
            template.k8s_pod.ClearField("metadata")
            template.k8s_pod.metadata.labels.update(pod["metadata"].get("labels") or {})
            template.k8s_pod.metadata.annotations.update(pod["metadata"].get("annotations") or {})
            template.k8s_pod.ClearField("pod_spec")
            json_format.ParseDict(pod["spec"], template.k8s_pod.pod_spec)
        else:
            commands = [*_commands(template)]
            words = [word for command in commands for word in command.words]
            values = await self.templates.values(scheduled, template, words, namespace)
            for command in commands:
                command.fill_in(values, inputs)
        return Request(template, inputs, scheduled.output_prefix, _metadata(scheduled, namespace))


@dataclass(frozen=True)
class _Command:
    """Words of a container in a task template, to be replaced there."""

    words: list[str]
    replace: Callable[[list[str]], None]

    def fill_in(self, values: TemplateValues, inputs: literals_pb2.LiteralMap) -> None:
        try:
            self.replace(render(self.words, values, inputs))
        except TemplateError as error:
            raise NotLaunchable("FailedToBuildResource", str(error)) from None


def _commands(template: tasks_pb2.TaskTemplate) -> Iterator[_Command]:
    match template.WhichOneof("target"):
        case "container":
            container = template.container
            for words in (container.command, container.args):
                yield _Command(list(words), lambda filled, words=words: _replace(words, filled))
        case "k8s_pod":
            fields = template.k8s_pod.pod_spec.fields
            for name in ("initContainers", "containers"):
                for item in fields[name].list_value.values if name in fields else ():
                    own = item.struct_value.fields
                    for words in (own[key].list_value for key in ("command", "args") if key in own):
                        texts = [value.string_value for value in words.values]
                        yield _Command(texts, lambda filled, words=words: _replace_values(words, filled))
        case _:
            return


def _replace(words: Any, filled: list[str]) -> None:
    del words[:]
    words.extend(filled)


def _replace_values(words: struct_pb2.ListValue, filled: list[str]) -> None:
    words.ClearField("values")
    for word in filled:
        words.values.add(string_value=word)


def _metadata(scheduled: AttemptScheduled, namespace: str) -> agent_pb2.TaskExecutionMetadata:
    run_as = scheduled.security_context.run_as
    metadata = agent_pb2.TaskExecutionMetadata(
        namespace=namespace,
        labels={**scheduled.labels, **identifying_labels(scheduled)},
        annotations=scheduled.annotations,
        k8s_service_account=run_as.k8s_service_account,
        environment_variables=scheduled.envs,
        identity=run_as,
    )
    identifier = metadata.task_execution_id
    identifier.task_id.CopyFrom(scheduled.task_id)
    identifier.node_execution_id.node_id = scheduled.node_id
    identifier.node_execution_id.execution_id.CopyFrom(scheduled.execution_id)
    identifier.retry_attempt = scheduled.attempt
    return metadata
