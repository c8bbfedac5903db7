"""Every pod of the contract's list (k8s-contract §9.1): what must be in it.

`CASES` are used against a real API server too, so the checks bear what that adds to a pod.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flyteidl.core import literals_pb2, security_pb2, tasks_pb2

from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.pods.tasks import (
    EXECUTION,
    NAME,
    container,
    pod,
    pod_task,
    resources,
    settings,
    task,
    template,
    variables,
)

T4 = "nvidia-tesla-t4"
A100 = "nvidia-tesla-a100"
DEVICE_LABEL = "k8s.amazonaws.com/accelerator"
PARTITION_LABEL = "k8s.amazonaws.com/gpu-partition-size"
HARDWARE = {"key": "hardware", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
SPOT = {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}


@dataclass(frozen=True)
class Case:
    """An attempt, and what must hold of its pod."""

    of: Task
    check: Callable[[Object], None]


CASES: dict[str, Callable[[], Case]] = {}


def case(name: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def add(make: Callable[[], Case]) -> Callable[[], Case]:
        CASES[name] = make
        return make

    return add


def main(of: Object) -> Object:
    """The first container."""
    return of["spec"]["containers"][0]


def named(of: Object, name: str) -> Object:
    return next(each for each in of["spec"]["containers"] if each["name"] == name)


def terms(of: Object) -> list[list[Object]]:
    """Expressions of each alternative that nodes must meet."""
    node: Object = (of["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return [term["matchExpressions"] for term in required.get("nodeSelectorTerms") or []]


def tolerations(of: Object) -> list[Object]:
    return of["spec"].get("tolerations") or []


def both(**amounts: str) -> Object:
    names = {name.replace("gpu", "nvidia.com/gpu").replace("_", "-"): value for name, value in amounts.items()}
    return {"requests": names, "limits": names}


def accelerated(device: str, *, gpu: bool = True, **part: Any) -> tasks_pb2.TaskTemplate:
    return template(
        container=container(requests={"gpu": "1"} if gpu else {}),
        extended_resources=tasks_pb2.ExtendedResources(gpu_accelerator=tasks_pb2.GPUAccelerator(device=device, **part)),
    )


@case("T1 container without resources")
def _() -> Case:
    def check(of: Object) -> None:
        assert of["metadata"]["name"] == NAME
        assert of["metadata"]["namespace"] == "p-d"
        assert [each["name"] for each in of["spec"]["containers"]] == [NAME]
        assert main(of)["resources"] == both(cpu="100m", memory="500Mi")
        assert main(of)["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert of["spec"]["restartPolicy"] == "Never"
        assert not of["spec"].get("affinity")
        annotations = of["metadata"]["annotations"]
        assert annotations["primary_container_name"] == NAME
        assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"

    return Case(task(), check)


@case("T2 long node id")
def _() -> Case:
    def check(of: Object) -> None:
        assert of["metadata"]["name"] == f"{EXECUTION}-f24kxjxa-2"

    return Case(task(node="a-very-long-node-name-from-user", attempt=2), check)


@case("T3 long execution name")
def _() -> Case:
    execution = "a" * 60

    def check(of: Object) -> None:
        # Computed with Go's hash/fnv and encoding/base32.
        assert of["metadata"]["name"] == "fe2q3yhy"
        assert of["metadata"]["labels"]["execution-id"] == execution

    return Case(task(execution=execution), check)


@case("T4 labels")
def _() -> Case:
    def check(of: Object) -> None:
        labels = of["metadata"]["labels"]
        assert labels == {
            # Computed with Go's hash/fnv, as the names are.
            "shard-key": "5",
            "project": "p",
            "domain": "d",
            "execution-id": EXECUTION,
            "workflow-name": "my-pkg-wf-mywf",
            "node-id": "n0",
            "task-name": "my-pkg-wf-mytask",
            "interruptible": "false",
        }

    return Case(task(), check)


@case("T5 labels of the task")
def _() -> Case:
    metadata = tasks_pb2.TaskMetadata(
        metadata=tasks_pb2.K8sObjectMetadata(labels={"a": "1", "execution-id": "x"}, annotations={"b": "2"})
    )

    def check(of: Object) -> None:
        assert of["metadata"]["labels"]["a"] == "1"
        assert of["metadata"]["labels"]["execution-id"] == EXECUTION
        assert of["metadata"]["annotations"]["b"] == "2"

    return Case(task(template(metadata=metadata)), check)


@case("T6 labels of execution, pod template and task")
def _() -> Case:
    metadata = tasks_pb2.TaskMetadata(
        metadata=tasks_pb2.K8sObjectMetadata(labels={"team": "z", "task": "z"}, annotations={"team": "z"})
    )
    under = {
        "metadata": {"labels": {"team": "y", "task": "y", "template": "y"}, "annotations": {"team": "y", "of": "y"}},
        "spec": {"containers": [{"name": "default"}]},
    }

    def check(of: Object) -> None:
        labels, annotations = of["metadata"]["labels"], of["metadata"]["annotations"]
        assert {name: labels[name] for name in ("team", "task", "template")} == {
            "team": "x",
            "task": "z",
            "template": "y",
        }
        assert (annotations["team"], annotations["of"]) == ("x", "y")

    return Case(
        task(template(metadata=metadata), pod_template=under, labels={"team": "x"}, annotations={"team": "x"}), check
    )


PLACEHOLDERS = ("{{.input}}", "{{ $outputPrefix }}", "{{.PerRetryUniqueKey}}", "{{.prevCheckpointPrefix}}")


@case("T7 placeholders of a first attempt")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["args"] == [
            "s3://b/meta/n0/data/inputs.pb",
            "s3://b/meta/n0/data/0",
            "a1b2c3d4e5f6g7h8i9j0_n0_0",
            '""',
        ]

    return Case(task(template(container=container(*PLACEHOLDERS))), check)


@case("T8 placeholders of a second attempt")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["args"][-1] == f"s3://b/raw/gl/{NAME}/_flytecheckpoints"

    return Case(task(template(container=container(*PLACEHOLDERS)), attempt=1), check)


@case("T9 raw output prefix")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["args"] == [f"s3://b/raw/gl/{NAME}"]

    return Case(task(template(container=container("{{.rawOutputDataPrefix}}"))), check)


@case("T10 input in a command")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["args"] == ["--n=5"]

    five = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=5)))
    return Case(task(template(container=container("--n={{.inputs.x}}")), inputs={"x": five}), check)


@case("T11 variables")
def _() -> Case:
    def check(of: Object) -> None:
        names = [entry["name"] for entry in main(of)["env"]]
        assert variables(main(of)) == {
            "MINE": "1",
            "FLYTE_INTERNAL_EXECUTION_WORKFLOW": "p:d:my_pkg.wf.MyWf",
            "FLYTE_INTERNAL_EXECUTION_ID": EXECUTION,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": "d",
            "FLYTE_ATTEMPT_NUMBER": "0",
            "FLYTE_INTERNAL_TASK_PROJECT": "tp",
            "FLYTE_INTERNAL_TASK_DOMAIN": "td",
            "FLYTE_INTERNAL_TASK_NAME": "my_pkg.wf.MyTask",
            "FLYTE_INTERNAL_TASK_VERSION": "v1",
            "RUN": "2",
            "FOR_ALL": "3",
            "LAST": "4",
        }
        flytes = [name for name in names if name.startswith("FLYTE_")]
        assert names == ["MINE", *flytes, "RUN", "FOR_ALL", "LAST"]

    return Case(
        task(
            template(container=container(env={"MINE": "1"})),
            envs={"RUN": "2"},
            settings_of=settings(default_env_vars={"FOR_ALL": "3"}),
            environment={"LAST": "4"},
        ),
        check,
    )


@case("T12 requests without limits")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["resources"] == both(cpu="500m", memory="500Mi")

    return Case(task(template(container=container(requests={"cpu": "500m"}))), check)


@case("T13 more than the platform allows")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["resources"] == both(cpu="2", memory="500Mi")

    return Case(task(resources=resources({"cpu": "4"})), check)


@case("T14 a GPU")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["resources"] == both(cpu="100m", memory="500Mi", gpu="1")

    return Case(task(template(container=container(requests={"gpu": "1"}))), check)


@case("T15 a GPU as flytekit writes it into pods")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["resources"] == both(cpu="100m", memory="500Mi", gpu="1")

    return Case(task(pod_task({"name": "primary", "image": "i", "resources": {"requests": {"gpu": "1"}}})), check)


@case("T16 more GPUs than the platform allows")
def _() -> Case:
    def check(of: Object) -> None:
        assert main(of)["resources"] == both(cpu="100m", memory="500Mi", gpu="1")

    over = {"name": "primary", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
    return Case(task(pod_task(over)), check)


@case("T17 devices that the platform has no word for")
def _() -> Case:
    devices = {"nvidia.com/mig-1g.10gb": "1", "google.com/tpu": "4"}

    def check(of: Object) -> None:
        amounts = {"cpu": "100m", "memory": "500Mi", **devices}
        assert main(of)["resources"] == {"requests": amounts, "limits": amounts}

    fields = {"name": "primary", "image": "i", "resources": {"requests": devices, "limits": devices}}
    return Case(task(pod_task(fields)), check)


def of_device(label: str, value: str) -> Object:
    return {"key": label, "operator": "In", "values": [value]}


def tolerating(label: str, value: str) -> Object:
    return {"key": label, "operator": "Equal", "value": value, "effect": "NoSchedule"}


@case("T18 accelerator")
def _() -> Case:
    def check(of: Object) -> None:
        assert terms(of) == [[of_device(DEVICE_LABEL, T4)]]
        assert tolerating(DEVICE_LABEL, T4) in tolerations(of)

    return Case(task(accelerated(T4)), check)


@case("T19 accelerator without a GPU")
def _() -> Case:
    def check(of: Object) -> None:
        assert terms(of) == []
        assert tolerating(DEVICE_LABEL, T4) not in tolerations(of)

    return Case(task(accelerated(T4, gpu=False)), check)


@case("T20 part of an accelerator")
def _() -> Case:
    def check(of: Object) -> None:
        assert terms(of) == [[of_device(DEVICE_LABEL, A100), of_device(PARTITION_LABEL, "1g.5gb")]]
        assert tolerating(DEVICE_LABEL, A100) in tolerations(of)
        assert tolerating(PARTITION_LABEL, "1g.5gb") in tolerations(of)
        assert main(of)["resources"]["limits"]["nvidia.com/gpu"] == "1"

    return Case(task(accelerated(A100, partition_size="1g.5gb")), check)


WHOLE = [of_device(DEVICE_LABEL, A100), {"key": PARTITION_LABEL, "operator": "DoesNotExist"}]


@case("T21 whole accelerator")
def _() -> Case:
    def check(of: Object) -> None:
        assert terms(of) == [WHOLE]
        assert PARTITION_LABEL not in [each.get("key") for each in tolerations(of)]

    return Case(task(accelerated(A100, unpartitioned=True)), check)


@case("T21 whole accelerator, tolerated")
def _() -> Case:
    whole = {"key": "whole", "operator": "Exists", "effect": "NoSchedule"}

    def check(of: Object) -> None:
        assert terms(of) == [WHOLE]
        assert whole in tolerations(of)

    return Case(
        task(accelerated(A100, unpartitioned=True), settings_of=settings(gpu_unpartitioned_toleration=whole)), check
    )


@case("T22 accelerator and a template's alternatives")
def _() -> Case:
    zones = [{"key": "zone", "operator": "In", "values": [zone]} for zone in "ab"]
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [zone]} for zone in zones]
            }
        }
    }

    def check(of: Object) -> None:
        assert terms(of) == [[zone, of_device(DEVICE_LABEL, T4)] for zone in zones]

    under = {"spec": {"containers": [{"name": "default"}], "affinity": affinity}}
    return Case(task(accelerated(T4), pod_template=under), check)


@case("T23 tolerations of GPUs")
def _() -> Case:
    def check(of: Object) -> None:
        assert HARDWARE in tolerations(of)

    return Case(
        task(
            template(container=container(requests={"gpu": "1"})),
            settings_of=settings(resource_tolerations={"nvidia.com/gpu": [HARDWARE]}),
        ),
        check,
    )


@case("T23 tolerations of GPUs, without one")
def _() -> Case:
    def check(of: Object) -> None:
        assert HARDWARE not in tolerations(of)

    return Case(task(settings_of=settings(resource_tolerations={"nvidia.com/gpu": [HARDWARE]})), check)


INTERRUPTIBLE = {
    "interruptible_node_selector": {"pool": "spot"},
    "interruptible_tolerations": [SPOT],
    "interruptible_node_selector_requirement": {"key": "spot", "operator": "In", "values": ["true"]},
    "non_interruptible_node_selector_requirement": {"key": "spot", "operator": "NotIn", "values": ["true"]},
}


@case("T24 interruptible")
def _() -> Case:
    def check(of: Object) -> None:
        assert of["metadata"]["labels"]["interruptible"] == "true"
        assert of["spec"]["nodeSelector"] == {"pool": "spot"}
        assert SPOT in tolerations(of)
        assert terms(of) == [[{"key": "spot", "operator": "In", "values": ["true"]}]]

    return Case(task(interruptible=True, settings_of=settings(**INTERRUPTIBLE)), check)


@case("T24 not interruptible")
def _() -> Case:
    def check(of: Object) -> None:
        assert of["metadata"]["labels"]["interruptible"] == "false"
        assert not of["spec"].get("nodeSelector")
        assert SPOT not in tolerations(of)
        assert terms(of) == [[{"key": "spot", "operator": "NotIn", "values": ["true"]}]]

    return Case(task(settings_of=settings(**INTERRUPTIBLE)), check)


def sharing(size: str) -> tasks_pb2.ExtendedResources:
    return tasks_pb2.ExtendedResources(
        shared_memory=tasks_pb2.SharedMemory(mount_name="flyte-shared-memory", mount_path="/dev/shm", size_limit=size)
    )


@case("T25 shared memory")
def _() -> Case:
    def check(of: Object) -> None:
        volume = next(each for each in of["spec"]["volumes"] if each["name"] == "flyte-shared-memory")
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
        mount = {"name": "flyte-shared-memory", "mountPath": "/dev/shm"}
        assert mount in named(of, "primary")["volumeMounts"]
        assert mount not in (named(of, "side").get("volumeMounts") or [])

    made = pod_task(
        {"name": "primary", "image": "i"}, {"name": "side", "image": "j"}, extended_resources=sharing("1Gi")
    )
    return Case(task(made), check)


LAYERS: Object = {
    "metadata": {},
    "spec": {
        "containers": [
            {"name": "default", "image": "t", "env": [{"name": "A", "value": "default"}]},
            {"name": "primary", "image": "t", "env": [{"name": "B", "value": "primary"}]},
            {"name": "sidecar", "image": "t"},
        ]
    },
}


@case("T29 containers of a template")
def _() -> Case:
    def check(of: Object) -> None:
        assert [each["name"] for each in of["spec"]["containers"]] == [NAME]
        assert main(of)["image"] == "task:1"
        assert [entry["name"] for entry in main(of)["env"]][:3] == ["A", "B", "C"]

    return Case(task(template(container=container(env={"C": "task"})), pod_template=LAYERS), check)


@case("T30 sidecar with a template of its own")
def _() -> Case:
    def check(of: Object) -> None:
        side = named(of, "sidecar")
        assert side["image"] == "side:1"
        assert side["resources"]["requests"]["cpu"] == "300m"
        assert "primary_container_name" not in of["metadata"]["annotations"]

    under = {
        "spec": {
            "containers": [{"name": "sidecar", "image": "t", "resources": {"requests": {"cpu": "300m"}}}],
        }
    }
    made = pod_task({"name": "primary", "image": "i"}, {"name": "sidecar", "image": "side:1"})
    return Case(task(made, pod_template=under), check)


ACCOUNT: Object = {
    "spec": {"containers": [{"name": "default"}], "restartPolicy": "Always", "serviceAccountName": "tmpl"}
}


@case("T31 service account of the execution")
def _() -> Case:
    def check(of: Object) -> None:
        assert of["spec"]["restartPolicy"] == "Never"
        assert of["spec"]["serviceAccountName"] == "exec-sa"

    who = security_pb2.SecurityContext(run_as=security_pb2.Identity(k8s_service_account="exec-sa"))
    return Case(task(pod_template=ACCOUNT, security_context=who), check)


@case("T31 service account of the template")
def _() -> Case:
    def check(of: Object) -> None:
        assert of["spec"]["serviceAccountName"] == "tmpl"

    return Case(task(pod_template=ACCOUNT), check)


@case("T33 image of a node")
def _() -> Case:
    def check(of: Object) -> None:
        assert named(of, "primary")["image"] == "node:2"
        assert named(of, "side")["image"] == "j"

    made = pod_task({"name": "primary", "image": "i"}, {"name": "side", "image": "j"})
    return Case(task(made, container_image="node:2"), check)


@case("T36 GPUs of another vendor")
def _() -> Case:
    def check(of: Object) -> None:
        amounts = {"cpu": "100m", "memory": "500Mi", "amd.com/gpu": "1"}
        assert main(of)["resources"] == {"requests": amounts, "limits": amounts}

    made = template(container=container(requests={"gpu": "1"}))
    return Case(task(made, settings_of=settings(gpu_resource_name="amd.com/gpu")), check)


@case("T117 Volcano's scheduler, and annotations of a pod template")
def _() -> Case:
    queue = {"scheduling.volcano.sh/queue-name": "mine", "scheduling.k8s.io/group-name": "g"}

    def check(of: Object) -> None:
        assert of["spec"]["schedulerName"] == "volcano"
        assert {name: of["metadata"]["annotations"].get(name) for name in queue} == queue

    under = {"metadata": {"annotations": queue}, "spec": {"containers": [{"name": "default"}]}}
    return Case(task(pod_template=under, settings_of=settings(scheduler_name="volcano")), check)


@case("T114 queue of an execution's labels")
def _() -> Case:
    def check(of: Object) -> None:
        assert of["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "mine"

    return Case(task(labels={"kueue.x-k8s.io/queue-name": "mine"}), check)


@pytest.mark.parametrize("name", CASES)
def test_pod_is_as_the_contract_says(name: str) -> None:
    made = CASES[name]()
    made.check(build_pod(made.of).manifest)


REFUSED: dict[str, tuple[Task, str]] = {
    "T10 input that is not there": (
        task(
            template(container=container("{{.inputs.x}}")),
            inputs={"y": literals_pb2.Literal(scalar=literals_pb2.Scalar(none_type=literals_pb2.Void()))},
        ),
        "'x'",
    ),
    "T26 shared memory and a volume of its name": (
        task(
            template(extended_resources=sharing("1Gi")),
            pod_template={
                "spec": {
                    "containers": [{"name": "default"}],
                    "volumes": [{"name": "flyte-shared-memory", "emptyDir": {}}],
                }
            },
        ),
        "has a volume 'flyte-shared-memory' already",
    ),
    "T32 sidecar without a primary container": (
        task(template(type="sidecar", task_type_version=1, custom={"containers": [{"name": "a", "image": "i"}]})),
        "primary_container_name",
    ),
    "pod without a primary container": (
        task(template(k8s_pod=pod({"name": "primary", "image": "i"}))),
        "primary_container_name",
    ),
    "pod whose primary container is missing": (
        task(pod_task({"name": "other", "image": "i"})),
        "no container 'primary'",
    ),
    "pod without a specification": (
        task(template(k8s_pod=tasks_pb2.K8sPod(), config={"primary_container_name": "primary"})),
        "no specification",
    ),
    "neither a container nor a pod": (task(template(type="snowflake", custom={"a": "b"})), "'snowflake'"),
    "quantity that is none": (task(template(container=container(requests={"cpu": "many"}))), "'many'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_pod_is_made_of_a_bad_task(name: str) -> None:
    of, why = REFUSED[name]
    with pytest.raises(NotLaunchable, match=why) as refused:
        build_pod(of)
    assert (refused.value.code, refused.value.recoverable, refused.value.system) == (
        "FailedToBuildResource",
        False,
        False,
    )
