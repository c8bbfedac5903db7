"""Tasks as flytekit serialises them, and what must be in their pods."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from flyteidl.core import literals_pb2, tasks_pb2, workflow_pb2
from flytekit import ContainerTask, PodTemplate, Resources, kwtypes, task, workflow
from flytekit.configuration import FastSerializationSettings, Image, ImageConfig, SerializationSettings
from flytekit.extras.accelerators import A100, T4, V5E
from flytekit.tools.translator import get_serializable
from kubernetes.client import (
    V1Container,
    V1EmptyDirVolumeSource,
    V1EnvVar,
    V1EnvVarSource,
    V1ObjectFieldSelector,
    V1PodSpec,
    V1Probe,
    V1ResourceRequirements,
    V1TCPSocketAction,
    V1Toleration,
    V1Volume,
    V1VolumeMount,
)

from services.k8s_launcher.kubernetes.objects import Object, Task
from tests.unit.kubernetes.pods import tasks

Check = Callable[[Object], None]
CASES: dict[str, Callable[[], tuple[Task, Check]]] = {}

_IMAGE = ImageConfig(default_image=Image(name="default", fqn="example.com/tasks", tag="v1"))
_SETTINGS = SerializationSettings(
    project="tp", domain="td", version="v1", env={"FROM": "registration"}, image_config=_IMAGE
)
_FAST = SerializationSettings(
    project="tp",
    domain="td",
    version="v1",
    image_config=_IMAGE,
    fast_serialization_settings=FastSerializationSettings(
        enabled=True, destination_dir="/root", distribution_location="s3://b/code.tar.gz"
    ),
)
_PLATFORM = {"defaults": {"cpu": "100m", "memory": "500Mi"}, "limits": {"cpu": "8", "memory": "8Gi", "gpu": "4"}}


def case(name: str) -> Callable[[Callable[[], tuple[Task, Check]]], None]:
    def add(make: Callable[[], tuple[Task, Check]]) -> None:
        CASES[name] = make

    return add


def serialised(entity: Any, settings: SerializationSettings = _SETTINGS) -> tasks_pb2.TaskTemplate:
    return get_serializable(OrderedDict(), settings, entity).template.to_flyte_idl()


def overrides(entity: Any) -> workflow_pb2.TaskNodeOverrides:
    """What the only node of a workflow has in the place of its task's."""
    (node,) = (
        each
        for each in get_serializable(OrderedDict(), _SETTINGS, entity).template.to_flyte_idl().nodes
        if each.HasField("task_node")
    )
    return node.task_node.overrides


def attempt(
    template: tasks_pb2.TaskTemplate, over: workflow_pb2.TaskNodeOverrides | None = None, **fields: Any
) -> Task:
    """An attempt, with its node's overrides as the engine has them."""
    if over is not None:
        for name in ("resources", "extended_resources"):
            if over.HasField(name):
                fields[name] = getattr(over, name)
        fields["container_image"] = over.container_image
        if over.HasField("pod_template"):
            fields["node_pod"] = over.pod_template
    return tasks.task(template, settings_of=tasks.settings(_PLATFORM), **fields)


def _main(of: Object) -> Object:
    return of["spec"]["containers"][0]


def _limits(of: Object) -> Object:
    return _main(of)["resources"]["limits"]


@task
def plain(n: int) -> int:
    return n


@task(requests=Resources(cpu="500m", mem="1Gi", ephemeral_storage="2Gi"), limits=Resources(cpu="1"))
def sized(n: int) -> int:
    return n


@task(resources=Resources(cpu=("1", "2"), mem="2Gi", gpu="1"), accelerator=T4, shared_memory="5Gi")
def accelerated(n: int) -> int:
    return n


@task(requests=Resources(gpu="2"), accelerator=A100.partition_1g_5gb, shared_memory=True)
def partitioned(n: int) -> int:
    return n


@task(requests=Resources(gpu="1"), accelerator=V5E.slice_2x4)
def on_tpu(n: int) -> int:
    return n


@task(labels={"team": "research"}, annotations={"note": "kept"}, interruptible=True, environment={"MINE": "1"})
def labelled(n: int) -> int:
    return n


_NODE_NAME = V1ObjectFieldSelector(field_path="spec.nodeName")

SIDECARS = PodTemplate(
    primary_container_name="main",
    labels={"of": "template"},
    annotations={"about": "template"},
    pod_spec=V1PodSpec(
        init_containers=[V1Container(name="early", image="busybox", args=["sh", "-c", "ls {{.outputPrefix}}"])],
        containers=[
            V1Container(
                name="main",
                env=[
                    V1EnvVar(
                        name="NODE",
                        value_from=V1EnvVarSource(field_ref=V1ObjectFieldSelector(field_path="spec.nodeName")),
                    )
                ],
                volume_mounts=[V1VolumeMount(name="scratch", mount_path="/scratch")],
            ),
            V1Container(
                name="side",
                image="redis:7",
                resources=V1ResourceRequirements(requests={"cpu": "100m"}),
                readiness_probe=V1Probe(tcp_socket=V1TCPSocketAction(port=6379), period_seconds=5),
            ),
        ],
        volumes=[V1Volume(name="scratch", empty_dir=V1EmptyDirVolumeSource(size_limit="1Gi"))],
        tolerations=[V1Toleration(key="dedicated", operator="Exists", effect="NoSchedule")],
        node_selector={"disk": "ssd"},
    ),
)


@task(pod_template=SIDECARS, requests=Resources(cpu="1", gpu="1"), environment={"MINE": "1"})
def with_sidecars(n: int) -> int:
    return n


@task(pod_template_name="big")
def named_template(n: int) -> int:
    return n


raw = ContainerTask(
    name="raw.sum",
    image="alpine:3",
    command=["sh", "-c", "echo {{.inputs.n}} > /var/outputs/total"],
    inputs=kwtypes(n=int),
    outputs=kwtypes(total=int),
    input_data_dir="/var/inputs",
    output_data_dir="/var/outputs",
)


@workflow
def overridden(n: int = 1) -> int:
    return sized(n=n).with_overrides(
        resources=Resources(cpu="3", gpu="1"),
        accelerator=A100.unpartitioned,
        shared_memory="1Gi",
        container_image="example.com/other:v2",
    )


@workflow
def with_nodes_pod(n: int = 1) -> int:
    return plain(n=n).with_overrides(pod_template=SIDECARS)


@case("plain")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert _main(of)["image"] == "example.com/tasks:v1"
        assert _main(of)["args"][:7] == [
            "pyflyte-execute",
            "--inputs",
            "s3://b/meta/n0/data/inputs.pb",
            "--output-prefix",
            "s3://b/meta/n0/data/0",
            "--raw-output-data-prefix",
            f"s3://b/raw/gl/{tasks.NAME}",
        ]
        assert _limits(of) == {"cpu": "100m", "memory": "500Mi"}
        assert tasks.variables(_main(of))["FROM"] == "registration"

    return attempt(serialised(plain)), check


@case("fast registered")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        args = _main(of)["args"]
        assert args[:5] == [
            "pyflyte-fast-execute",
            "--additional-distribution",
            "s3://b/code.tar.gz",
            "--dest-dir",
            "/root",
        ]
        assert "s3://b/meta/n0/data/inputs.pb" in args

    return attempt(serialised(plain, _FAST)), check


@case("resources")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert _main(of)["resources"] == {
            "requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi"},
            "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "2Gi"},
        }

    return attempt(serialised(sized)), check


@case("GPU, accelerator and shared memory")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert _main(of)["resources"] == {
            "requests": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"},
            "limits": {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": "1"},
        }
        assert "nvidia-tesla-t4" in [each.get("value") for each in of["spec"]["tolerations"]]
        volume = next(each for each in of["spec"]["volumes"] if each["name"] == "flyte-shared-memory")
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "5Gi"}
        assert {"name": "flyte-shared-memory", "mountPath": "/dev/shm"} in _main(of)["volumeMounts"]

    return attempt(serialised(accelerated)), check


@case("part of a GPU")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert _limits(of)["nvidia.com/gpu"] == "2"
        values = [each.get("value") for each in of["spec"]["tolerations"]]
        assert {"nvidia-tesla-a100", "1g.5gb"} <= set(values)
        volume = next(each for each in of["spec"]["volumes"] if each["name"] == "flyte-shared-memory")
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "0"}

    return attempt(serialised(partitioned)), check


@case("TPU by the operator's mapping")
def _() -> tuple[Task, Check]:
    mapping = {
        "device": "tpu-v5-lite-podslice",
        "resource_name": "google.com/tpu",
        "node_selector": {"cloud.google.com/gke-tpu-topology": "{partition_size}"},
    }

    def check(of: Object) -> None:
        assert _limits(of)["google.com/tpu"] == "1"
        assert of["spec"]["nodeSelector"] == {"cloud.google.com/gke-tpu-topology": "2x4"}

    return tasks.task(serialised(on_tpu), settings_of=tasks.settings(accelerator_mapping=[mapping])), check


@case("labels and variables")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert of["metadata"]["labels"]["team"] == "research"
        assert of["metadata"]["annotations"]["note"] == "kept"
        assert tasks.variables(_main(of))["MINE"] == "1"

    return attempt(serialised(labelled)), check


@case("pod template with a sidecar")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        main, side = of["spec"]["containers"]
        (early,) = of["spec"]["initContainers"]
        assert (main["name"], side["name"], early["name"]) == ("main", "side", "early")
        assert main["args"][2] == "s3://b/meta/n0/data/inputs.pb"
        assert main["resources"]["limits"] == {"cpu": "1", "memory": "500Mi", "nvidia.com/gpu": "1"}
        assert side["resources"]["requests"] == {"cpu": "100m", "memory": "0"}
        assert side["readinessProbe"]["tcpSocket"]["port"] == 6379
        assert early["args"] == ["sh", "-c", "ls s3://b/meta/n0/data/0"]
        node = next(each for each in main["env"] if each["name"] == "NODE")
        assert node["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
        assert tasks.variables(main)["MINE"] == "1"
        assert of["spec"]["nodeSelector"] == {"disk": "ssd"}
        assert of["metadata"]["labels"]["of"] == "template"
        assert "primary_container_name" not in of["metadata"]["annotations"]

    return attempt(serialised(with_sidecars)), check


@case("named pod template")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert of["spec"]["priorityClassName"] == "system-node-critical"
        assert _limits(of)["memory"] == "4Gi"

    made = serialised(named_template)
    assert made.metadata.pod_template_name == "big"
    under = {
        "spec": {
            "priorityClassName": "system-node-critical",
            "containers": [
                {"name": "primary", "image": "docker.io/rwgrim/docker-noop", "resources": {"limits": {"memory": "4Gi"}}}
            ],
        }
    }
    return attempt(made, pod_template=under), check


@case("raw container")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert _main(of)["command"] == ["sh", "-c", "echo 5 > /var/outputs/total"]
        assert [each["name"] for each in of["spec"]["initContainers"]] == [
            "flyte-copilot-uploader",
            "flyte-copilot-downloader",
        ]
        assert of["spec"]["initContainers"][0]["restartPolicy"] == "Always"
        assert {"flyte-inputs", "flyte-outputs"} <= {each["name"] for each in of["spec"]["volumes"]}
        assert "primary_container_name" not in of["metadata"]["annotations"]

    five = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=5)))
    return attempt(serialised(raw), inputs={"n": five}), check


@case("overridden by its node")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        assert _main(of)["image"] == "example.com/other:v2"
        assert _limits(of)["nvidia.com/gpu"] == "1"
        assert "nvidia-tesla-a100" in [each.get("value") for each in of["spec"]["tolerations"]]
        volume = next(each for each in of["spec"]["volumes"] if each["name"] == "flyte-shared-memory")
        assert volume["emptyDir"]["sizeLimit"] == "1Gi"

    return attempt(serialised(sized), overrides(overridden)), check


@case("pod of its node")
def _() -> tuple[Task, Check]:
    def check(of: Object) -> None:
        main, side = of["spec"]["containers"]
        assert (main["name"], side["name"]) == ("main", "side")
        assert main["image"] == "example.com/tasks:v1"
        assert main["args"][2] == "s3://b/meta/n0/data/inputs.pb"
        assert of["metadata"]["annotations"]["about"] == "template"

    return attempt(serialised(plain), overrides(with_nodes_pod)), check
