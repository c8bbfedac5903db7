"""Attempts to build pods of: execution `a1b2c3d4e5f6g7h8i9j0`, node `n0`, attempt 0, unless said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyteidl.core import identifier_pb2, literals_pb2, tasks_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.execution.engine import names
from services.k8s_launcher.kubernetes.objects import Object, SecretEntry, Task
from services.k8s_launcher.kubernetes.pods.names import object_name
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.templates import TemplateValues

EXECUTION = "a1b2c3d4e5f6g7h8i9j0"
NAME = f"{EXECUTION}-n0-0"

_Resources = tasks_pb2.Resources
_NAMES = {
    "cpu": _Resources.CPU,
    "memory": _Resources.MEMORY,
    "gpu": _Resources.GPU,
    "storage": _Resources.STORAGE,
    "ephemeral_storage": _Resources.EPHEMERAL_STORAGE,
}
PLATFORM: Mapping[str, Any] = {
    "defaults": {"cpu": "100m", "memory": "500Mi"},
    "limits": {"cpu": "2", "memory": "1Gi", "gpu": "1"},
}
"""The platform's resources in the contract's examples."""


def settings(
    task_resources: Mapping[str, Any] = PLATFORM, secrets: Mapping[str, Any] | None = None, **pods: Any
) -> KubernetesSettings:
    """Settings with what is said of pods."""
    return KubernetesSettings.model_validate({"task_resources": task_resources, "pods": pods, "secrets": secrets or {}})


def template(**fields: Any) -> tasks_pb2.TaskTemplate:
    """A task named `my_pkg.wf.MyTask`; without a container or pod of its own, one that runs `run`."""
    if not fields.keys() & {"container", "k8s_pod", "custom"}:
        fields["container"] = container()
    return tasks_pb2.TaskTemplate(
        **{
            "id": identifier_pb2.Identifier(
                resource_type=identifier_pb2.TASK, project="tp", domain="td", name="my_pkg.wf.MyTask", version="v1"
            ),
            "type": "python-task",
            **fields,
        }
    )


def container(
    *args: str,
    env: Mapping[str, str] | None = None,
    requests: Mapping[str, str] | None = None,
    limits: Mapping[str, str] | None = None,
    image: str = "task:1",
) -> tasks_pb2.Container:
    return tasks_pb2.Container(
        image=image,
        args=args or ("run",),
        env=[literals_pb2.KeyValuePair(key=key, value=value) for key, value in (env or {}).items()],
        resources=resources(requests, limits),
    )


def resources(requests: Mapping[str, str] | None = None, limits: Mapping[str, str] | None = None) -> _Resources:
    """Resources by lower-case name."""
    return _Resources(requests=_entries(requests), limits=_entries(limits))


def _entries(amounts: Mapping[str, str] | None) -> list[_Resources.ResourceEntry]:
    return [_Resources.ResourceEntry(name=_NAMES[name], value=value) for name, value in (amounts or {}).items()]


def pod_task(
    *containers: Object, primary: str = "primary", spec: Object | None = None, **fields: Any
) -> tasks_pb2.TaskTemplate:
    """A task that is a pod, as flytekit makes it of `pod_template=`."""
    return template(k8s_pod=pod(*containers, **(spec or {})), config={"primary_container_name": primary}, **fields)


def pod(
    *containers: Object,
    primary: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> tasks_pb2.K8sPod:
    made = tasks_pb2.K8sPod(
        primary_container_name=primary,
        metadata=tasks_pb2.K8sObjectMetadata(labels=labels or {}, annotations=annotations or {}),
    )
    made.pod_spec.update({"containers": list(containers), **spec})
    return made


def task(
    template_of: tasks_pb2.TaskTemplate | None = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    settings_of: KubernetesSettings | None = None,
    pod_template: Object | None = None,
    execution: str = EXECUTION,
    node: str = "n0",
    attempt: int = 0,
    raw: str = "s3://b/raw",
    environment: Mapping[str, str] | None = None,
    base_environment: Mapping[str, str] | None = None,
    secret_environment: Mapping[str, SecretEntry] | None = None,
    longest: int = 50,
    node_pod: tasks_pb2.K8sPod | None = None,
    **fields: Any,
) -> Task:
    """An attempt. `fields` are those of the fact; `inputs` are literals by name; `raw` is where outputs go.

    `pod_template` is a PodTemplate object's, `node_pod` what a node has in the place of the task's own pod.
    """
    if node_pod is not None:
        fields["pod_template"] = node_pod
    name = names.generated_name(execution, node, attempt)
    before = names.generated_name(execution, node, attempt - 1)
    prefix = f"{raw}/{names.shard(name)}/{name}"
    scheduled = AttemptScheduled(
        **{
            "execution_id": identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name=execution),
            "workflow_id": identifier_pb2.Identifier(project="p", domain="d", name="my_pkg.wf.MyWf", version="v1"),
            "task_id": (template_of or template()).id,
            "node_id": node,
            "spec_node_id": node,
            "attempt": attempt,
            "generated_name": name,
            "output_prefix": f"s3://b/meta/n0/data/{attempt}",
            "raw_output_prefix": prefix,
            "checkpoint_prefix": f"{prefix}/_flytecheckpoints",
            "previous_checkpoint_prefix": f"{raw}/{names.shard(before)}/{before}/_flytecheckpoints" if attempt else "",
            **fields,
        }
    )
    namespace = "p-d"
    values = TemplateValues(
        input_uri="s3://b/meta/n0/data/inputs.pb",
        output_prefix=scheduled.output_prefix,
        raw_output_prefix=scheduled.raw_output_prefix,
        checkpoint_prefix=scheduled.checkpoint_prefix,
        previous_checkpoint_prefix=scheduled.previous_checkpoint_prefix,
        task_template_uri="s3://b/meta/n0/data/task.pb",
        generated_name=name,
        namespace=namespace,
    )
    return Task(
        scheduled=scheduled,
        template=template_of or template(),
        values=values,
        inputs=literals_pb2.LiteralMap(literals=inputs) if inputs is not None else None,
        namespace=namespace,
        name=object_name(name, longest),
        settings=settings_of or settings(),
        pod_template=pod_template,
        environment=environment or {},
        base_environment=base_environment or {},
        secret_environment=secret_environment or {},
    )


def variables(container_of: Object) -> dict[str, str]:
    """Variables of a container as its process sees them: the last of each name."""
    return {entry["name"]: entry.get("value", "") for entry in container_of.get("env", [])}
