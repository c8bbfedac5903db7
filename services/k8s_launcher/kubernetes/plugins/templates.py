"""Pod templates in operators' objects: the task's pod, changed for each role (k8s-contract §5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from flyteidl.core import tasks_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.plugins.custom import refused
from services.k8s_launcher.kubernetes.pods import logs
from services.k8s_launcher.kubernetes.pods.accelerators import gpu_of, gpu_resource, select_accelerator
from services.k8s_launcher.kubernetes.pods.defaults import tolerate_taints_of_extended_resources
from services.k8s_launcher.kubernetes.pods.merge import overlaid
from services.k8s_launcher.kubernetes.pods.metadata import (
    Metadata,
    identifying_labels,
    object_metadata,
    pod_metadata,
)
from services.k8s_launcher.kubernetes.pods.pod import PodForm, container, pod_spec_for
from services.k8s_launcher.kubernetes.pods.resources import Platform, Requirements
from services.k8s_launcher.kubernetes.pods.shapes import POD, misshapen
from services.k8s_launcher.kubernetes.pods.specification import plain
from services.k8s_launcher.kubernetes.secrets import inject

OWN_PREFIX: Final = "flightlog.dev/"
"""Of labels and annotations that this launcher relies on."""


class Template:
    """A pod template in the making. `spec` may be changed."""

    def __init__(self, task: Task, form: PodForm) -> None:
        self.spec = form.spec
        self._task = task
        self.own = form.metadata
        """What pod templates and requests for secrets say of the pod."""
        self._primary = form.primary
        self._group = Metadata()

    def container(self) -> Object:
        """The container that is the task."""
        return container(self.spec, self._primary)

    def renamed(self, name: str) -> Object:
        """Call the task's container `name`, and put it first, where operators look for it. Returns it.

        Raises `NotLaunchable` when another container has the name.
        """
        found = self.container()
        others = [each for each in self.spec["containers"] if each is not found]
        if any(each["name"] == name for each in others):
            raise refused(f"a sidecar is called {name!r}, which is what the operator calls the task's own container")
        found["name"] = self._primary = name
        self.spec["containers"] = [found, *others]
        return found

    def overlay(self, pod: tasks_pb2.K8sPod) -> None:
        """Lay a role's own pod over it: containers over those of their name, labels and annotations over all others.

        The container that it calls primary is the task's, whatever the operator wants that to be called. Raises
        `NotLaunchable` for labels that say which attempt a pod belongs to.
        """
        self._group = Metadata.of(pod.metadata)
        _check_free(self._group.labels, self._task.scheduled)
        _check_free(self._group.annotations, self._task.scheduled)
        if not pod.pod_spec.fields:
            return
        gpu = gpu_of(self._task)
        had_gpu = self._asks_for(gpu.resource)
        over = plain(pod.pod_spec)
        wrong = misshapen(over, POD, "the specification of a group's pod")
        if wrong is not None:
            raise refused(wrong)
        if pod.primary_container_name and self._primary not in _names(over):
            if pod.primary_container_name in _names(self.spec):
                self._primary = pod.primary_container_name
            for each in over.get("containers") or ():
                if each.get("name") == pod.primary_container_name:
                    each["name"] = self._primary
        self.spec = overlaid(self.spec, over)
        said = {each["name"]: Requirements.of_container(each, gpu) for each in over.get("containers") or ()}
        for each in self.spec["containers"]:
            if each.get("resources"):
                asked = Requirements.of_container(each, gpu)
                fitting = asked.fitting(said[each["name"]], gpu.resource) if each["name"] in said else asked
                each["resources"] = {**each["resources"], **fitting.fields()}
        if not had_gpu:
            select_accelerator(self.spec, self._task)
        tolerate_taints_of_extended_resources(self.spec, self._task.settings.pods)

    def as_object(self) -> Object:
        """`metadata` and `spec`."""
        found = Metadata.of_object(pod_metadata(self._task, self.own)).under(self._group)
        return {"metadata": found.fields(), "spec": self.spec}

    def secret_fields(self) -> Object:
        """`volumeMounts` and `volumes` that the task's secrets need, for operators that take no whole pod."""
        secrets, how = self._task.template.security_context.secrets, self._task.settings.secrets
        spec = inject({"containers": [{"name": self._primary}]}, secrets, how)
        mounts = spec["containers"][0].get("volumeMounts") or []
        return {"volumeMounts": mounts, "volumes": spec.get("volumes") or []}

    def _asks_for(self, resource: str) -> bool:
        return any(resource in (each.get("resources") or {}).get("limits", {}) for each in self.spec["containers"])


def pod_template(
    task: Task,
    *,
    interruptible: bool | None = None,
    over: tasks_pb2.Resources | None = None,
    instead: tasks_pb2.Resources | None = None,
) -> Template:
    """The task's pod, with its secrets, as a template. Raises `NotLaunchable`.

    Args:
        interruptible: default: as the attempt says.
        over: resources that go before the task's, one by one.
        instead: resources in place of all of the task's.
    """
    if over is not None:
        task = _with_resources(task, over)
    if instead is None:
        return Template(task, pod_spec_for(task, interruptible=interruptible))
    if task.template.HasField("container"):
        template = tasks_pb2.TaskTemplate()
        template.CopyFrom(task.template)
        template.container.resources.CopyFrom(instead)
        task = dataclasses.replace(_with_resources(task, tasks_pb2.Resources()), template=template)
        return Template(task, pod_spec_for(task, interruptible=interruptible))
    made = Template(task, pod_spec_for(task, interruptible=interruptible))
    made.container()["resources"] = _assigned(instead, task)
    return made


def top_metadata(task: Task, template: Template | None = None) -> Object:
    """`metadata` of the operator's object.

    Args:
        template: whose own labels and annotations, of pod templates, the object has too.
    """
    found = object_metadata(task, Metadata() if template is None else template.own)
    found["annotations"] |= logs.wanted(task.template)
    return found


def asked_resources(resources: tasks_pb2.Resources, task: Task) -> Object:
    """Resources as a container has them, neither completed nor limited. Raises `NotLaunchable`."""
    return Requirements.of_message(resources, gpu_resource(task)).fields()


def has_resources(resources: tasks_pb2.Resources) -> bool:
    """Whether anything is asked for."""
    return bool(resources.requests or resources.limits)


def _with_resources(task: Task, resources: tasks_pb2.Resources) -> Task:
    scheduled = AttemptScheduled()
    scheduled.CopyFrom(task.scheduled)
    scheduled.resources.CopyFrom(resources)
    return dataclasses.replace(task, scheduled=scheduled)


def _assigned(resources: tasks_pb2.Resources, task: Task) -> Object:
    gpu = gpu_resource(task)
    return Platform.of(task, gpu).assigned(Requirements.of_message(resources, gpu)).fields()


def _names(spec: Object) -> set[str]:
    return {each.get("name", "") for each in spec.get("containers") or ()}


def _check_free(names: Mapping[str, str], scheduled: AttemptScheduled) -> None:
    for name in names:
        if name in identifying_labels(scheduled) or name.startswith(OWN_PREFIX):
            raise refused(f"{name!r} says which attempt a pod belongs to; a group of pods cannot set it")
