"""From a task to its pod, step by step in Flyte's order (k8s-contract §1.9, whose consequences users rely on).

`pod_spec_for` makes the pod that any kind of task is based on: of a task that is one pod, and of the pods that an
operator makes for a task's object. `build_pod` makes the former. Both are pure: all they need is in `Task`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Final

from services.k8s_launcher.kubernetes.objects import POD, Built, Object, Task
from services.k8s_launcher.kubernetes.pods.accelerators import extended_resources, gpu_of, select_accelerator, unheeded
from services.k8s_launcher.kubernetes.pods.containers import complete_containers
from services.k8s_launcher.kubernetes.pods.defaults import fill_in, tolerate_taints_of_extended_resources
from services.k8s_launcher.kubernetes.pods.merge import onto_template
from services.k8s_launcher.kubernetes.pods.metadata import NOTE, PRIMARY, Metadata, object_metadata
from services.k8s_launcher.kubernetes.pods.resources import with_gpus_named
from services.k8s_launcher.kubernetes.pods.shared_memory import mount_shared_memory
from services.k8s_launcher.kubernetes.pods.specification import SIDECAR, raw_pod
from services.k8s_launcher.kubernetes.raw_containers import DOWNLOADER, add_copying, secure_copying
from services.k8s_launcher.kubernetes.secrets import inject, marks

RAW_CONTAINER: Final = "raw-container"
"""Type of tasks whose containers know nothing of Flyte; they end when all their containers have ended."""

# The API server writes it into every PodTemplate that names none; of a pod it would say that somebody wants it so.
_DEFAULT_SCHEDULER: Final = "default-scheduler"


@dataclass(frozen=True)
class PodForm:
    """A pod of a task, whole but for its object's metadata. `spec` is the caller's, who may change it."""

    spec: Object
    metadata: Metadata
    """What pod templates, and requests for secrets, say of the pod: for `object_metadata` or `pod_metadata`."""
    primary: str
    """Name of the container that is the task."""


def pod_spec_for(task: Task, *, interruptible: bool | None = None) -> PodForm:
    """The pod that a task describes, with all that the node, the execution and the operator add to it.

    Args:
        interruptible: whether the pod may be taken away; default: as the attempt says. The heads of clusters may not.

    Raises:
        NotLaunchable: no pod can be made of the task, and never will be.
    """
    pods, scheduled, template = task.settings.pods, task.scheduled, task.template
    raw = raw_pod(template, scheduled, name=task.name, image_pull_policy=pods.image_pull_policy)
    spec, primary = raw.spec, raw.primary
    complete_containers(raw, task)
    add_copying(spec, task, primary)
    fill_in(spec, scheduled, pods, interruptible=scheduled.interruptible if interruptible is None else interruptible)
    _default_security_context(spec, primary, pods.default_security_context)
    metadata = raw.metadata
    if task.pod_template is not None:
        under = with_gpus_named(task.pod_template.get("spec") or {}, gpu_of(task))
        if under.get("schedulerName") == _DEFAULT_SCHEDULER:
            del under["schedulerName"]
        spec = onto_template(under, spec, primary=primary, primary_init=DOWNLOADER)
        metadata = Metadata.of_object(task.pod_template.get("metadata")).under(metadata)
    metadata = metadata.of_a_user()
    secure_copying(spec, task, primary)
    select_accelerator(spec, task)
    extended = extended_resources(task)
    if extended.HasField("shared_memory"):
        mount_shared_memory(spec, primary, extended.shared_memory)
    if scheduled.container_image:
        container(spec, primary)["image"] = scheduled.container_image
    tolerate_taints_of_extended_resources(spec, pods)
    secrets, how = template.security_context.secrets, task.settings.secrets
    marked = marks(secrets, how)
    metadata = metadata.under(Metadata(marked.labels, marked.annotations))
    return PodForm(inject(spec, secrets, how), metadata, primary)


def build_pod(task: Task) -> Built:
    """The pod of a task that is one pod. Raises `NotLaunchable`."""
    form = pod_spec_for(task)
    metadata = form.metadata
    if _ends_with_primary(task.template.type, form.spec):
        metadata = metadata.under(Metadata({}, {PRIMARY: form.primary}))
    if note := unheeded(form.spec, task):
        metadata = metadata.under(Metadata({}, {NOTE: note}))
    manifest = {
        "apiVersion": POD.api_version,
        "kind": POD.kind,
        "metadata": object_metadata(task, metadata),
        "spec": form.spec,
    }
    return Built(POD, manifest)


def container(spec: Object, name: str) -> Object:
    """The container of a pod that has the name; it must be there."""
    return next(each for each in spec["containers"] if each.get("name") == name)


def _ends_with_primary(task_type: str, spec: Object) -> bool:
    return task_type == SIDECAR or (len(spec["containers"]) == 1 and task_type != RAW_CONTAINER)


def _default_security_context(spec: Object, primary: str, context: Object | None) -> None:
    main = container(spec, primary)
    if context is not None and main.get("securityContext") is None:
        main["securityContext"] = copy.deepcopy(context)
