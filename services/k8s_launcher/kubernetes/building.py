"""From an order to its object: looks up what the plugin needs, which then builds by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flyteidl.core import tasks_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes import dispatch
from services.k8s_launcher.kubernetes.objects import Built, Object, Plugin, SecretEntry, Task
from services.k8s_launcher.kubernetes.pod_templates import PodTemplates
from services.k8s_launcher.kubernetes.pods.names import object_name
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.kubernetes.pods.specification import plain
from services.k8s_launcher.kubernetes.queueing import queued
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.task_templates import TaskTemplates


@dataclass(frozen=True)
class Building:
    """Builds the objects of attempts."""

    settings: KubernetesSettings
    templates: TaskTemplates
    pod_templates: PodTemplates
    environment: Mapping[str, str]
    base_environment: Mapping[str, str]
    secret_environment: Mapping[str, SecretEntry]

    def namespace(self, project: str, domain: str) -> str:
        """Namespace of an execution's objects."""
        return self.settings.namespace_template.format(project=project, domain=domain)

    def name(self, scheduled: AttemptScheduled) -> str:
        """Name of an attempt's object."""
        return object_name(scheduled.generated_name, dispatch.plugin(scheduled.task_type).longest_name)

    async def build(self, scheduled: AttemptScheduled) -> tuple[Plugin, Built]:
        """The plugin and the object of an attempt.

        Raises `NotLaunchable`, `ApiError`, and what the object store raises while it is away.
        """
        template = await self.templates.template(scheduled)
        plugin = dispatch.plugin_for(template)
        task = await self._task(scheduled, template)
        return plugin, queued(plugin.build(task), task)

    async def pod(self, scheduled: AttemptScheduled) -> Object:
        """The pod that an attempt's task describes, whoever runs it. Raises what `build` does."""
        return build_pod(await self._task(scheduled, await self.templates.template(scheduled))).manifest

    async def _task(self, scheduled: AttemptScheduled, template: tasks_pb2.TaskTemplate) -> Task:
        execution = scheduled.execution_id
        namespace = self.namespace(execution.project, execution.domain)
        words = [*_words(template, scheduled)]
        return Task(
            scheduled=scheduled,
            template=template,
            values=await self.templates.values(scheduled, template, words, namespace),
            inputs=await self.templates.inputs(scheduled, words),
            namespace=namespace,
            name=self.name(scheduled),
            settings=self.settings,
            pod_template=await self.pod_templates.for_task(template.metadata.pod_template_name, namespace),
            environment=self.environment,
            base_environment=self.base_environment,
            secret_environment=self.secret_environment,
        )


def _words(template: tasks_pb2.TaskTemplate, scheduled: AttemptScheduled) -> Iterator[str]:
    """Whatever may become a command's word, in any container of the task."""
    yield from template.container.command
    yield from template.container.args
    for message in (template.k8s_pod.pod_spec, template.custom, scheduled.pod_template.pod_spec):
        yield from _texts(plain(message))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
