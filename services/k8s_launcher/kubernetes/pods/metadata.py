"""Labels and annotations of what runs attempts (k8s-contract §1.3, §1.4).

Who wins, from the weakest: the operator's defaults, the pod's own (of pod templates), the task's, the execution's, and
what says which attempt it is. Pods that an operator makes for an object have all but the task's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flyteidl.core import tasks_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_types.short_names import fnv32a
from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods import logs

PRIMARY: Final = "primary_container_name"
"""Annotation with the container whose end is the task's; also the entry of a task's configuration that names it."""
NOTE: Final = "flightlog.dev/note"
"""Annotation with a word to the user about how the pod was made: shown while it waits."""

# What a launcher writes on objects: by it objects are recognised, and what belongs to them is removed with them.
_OWN_ANNOTATIONS: Final = "flightlog.dev/"
_OWN_LABEL: Final = "flightlog.dev/instance"
_SHARDS: Final = 32
_LONGEST_VALUE: Final = 63
_NOT_IN_VALUES: Final = re.compile(r"[^-a-z0-9]+")


@dataclass(frozen=True)
class Metadata:
    """Labels and annotations."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])

    @staticmethod
    def of(message: tasks_pb2.K8sObjectMetadata) -> Metadata:
        return Metadata(dict(message.labels), dict(message.annotations))

    @staticmethod
    def of_object(thing: Object | None) -> Metadata:
        """Those in the `metadata` of an object or a pod template."""
        return Metadata((thing or {}).get("labels") or {}, (thing or {}).get("annotations") or {})

    def under(self, over: Metadata) -> Metadata:
        """Both; `over` wins."""
        return Metadata({**self.labels, **over.labels}, {**self.annotations, **over.annotations})

    def of_a_user(self) -> Metadata:
        """The same without what only a launcher may say: anybody may set labels and annotations of their own tasks."""
        return Metadata(
            {name: value for name, value in self.labels.items() if name != _OWN_LABEL},
            {name: value for name, value in self.annotations.items() if not name.startswith(_OWN_ANNOTATIONS)},
        )

    def fields(self) -> Object:
        """As part of an object."""
        return {"labels": dict(self.labels), "annotations": dict(self.annotations)}


def object_metadata(task: Task, own: Metadata) -> Object:
    """`metadata` of the object that runs an attempt. `own`: what its pod's specification says itself."""
    asked = Metadata.of(task.template.metadata.metadata).of_a_user()
    links = Metadata(annotations=logs.wanted(task.template))
    found = _defaults(task).under(own).under(asked).under(_execution(task)).under(links)
    return {"name": task.name, "namespace": task.namespace, **found.fields()}


def pod_metadata(task: Task, own: Metadata) -> Object:
    """`metadata` of the pods that an operator makes for the object of an attempt."""
    return _defaults(task).under(own).under(_execution(task)).fields()


def sanitised(value: str) -> str:
    """A name as the value of a label: `my_pkg.wf.MyTask` becomes `my-pkg-wf-mytask`."""
    return _NOT_IN_VALUES.sub("-", value.lower())[:_LONGEST_VALUE].strip("-")


def identifying_labels(scheduled: AttemptScheduled) -> dict[str, str]:
    """The labels that say what an object belongs to, as Flyte's have them. Nobody can override them."""
    execution = scheduled.execution_id
    labels = {
        "project": execution.project,
        "domain": execution.domain,
        "execution-id": execution.name,
        "workflow-name": sanitised(scheduled.workflow_id.name),
        "shard-key": str(fnv32a(execution.name) % _SHARDS),
        "node-id": sanitised(scheduled.spec_node_id or scheduled.node_id),
        "task-name": sanitised(scheduled.task_id.name),
        "interruptible": str(scheduled.interruptible).lower(),
    }
    identity = scheduled.security_context.run_as.execution_identity
    return {**labels, "execution-identity": sanitised(identity)} if identity else labels


def _defaults(task: Task) -> Metadata:
    pods = task.settings.pods
    return Metadata(pods.default_labels, pods.default_annotations)


def _execution(task: Task) -> Metadata:
    scheduled = task.scheduled
    own = Metadata(scheduled.labels, scheduled.annotations).of_a_user()
    annotations = dict(own.annotations)
    role, key = scheduled.security_context.run_as.iam_role, task.settings.pods.role_annotation_key
    if role and key:
        annotations[key] = role
    return Metadata({**own.labels, **identifying_labels(scheduled)}, annotations)
