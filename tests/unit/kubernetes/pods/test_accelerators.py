"""Accelerators that other labels or resources stand for on a cluster (k8s-contract §1.11, §8.4)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flyteidl.core import tasks_pb2

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import SUBMITTED, Object, Seen
from services.k8s_launcher.kubernetes.pods.plugin import CONTAINERS
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from tests.unit.kubernetes.pods.tasks import container, pod_task, settings, task, template

A100 = "nvidia-tesla-a100"
TAINT = {"key": "nvidia.com/mig", "operator": "Exists", "effect": "NoSchedule"}
MAPPING: list[Object] = [
    {"device": A100, "partition_size": "1g.5gb", "resource_name": "nvidia.com/mig-1g.5gb", "tolerations": [TAINT]},
    {"device": A100, "node_selector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}},
    {
        "device": "tpu-v5-lite-podslice",
        "resource_name": "google.com/tpu",
        "node_selector": {
            "cloud.google.com/gke-tpu-accelerator": "{device}",
            "cloud.google.com/gke-tpu-topology": "{partition_size}",
        },
    },
]


def spec_of(device: str, pod: tasks_pb2.TaskTemplate | None = None, **part: Any) -> Object:
    wanted = tasks_pb2.ExtendedResources(gpu_accelerator=tasks_pb2.GPUAccelerator(device=device, **part))
    made = pod or template(container=container(requests={"gpu": "1"}))
    made.extended_resources.CopyFrom(wanted)
    return build_pod(task(made, settings_of=settings(accelerator_mapping=MAPPING))).manifest["spec"]


def limits(spec: Object) -> Object:
    return spec["containers"][0]["resources"]["limits"]


def test_part_of_a_device_is_a_resource_of_its_own() -> None:
    spec = spec_of(A100, partition_size="1g.5gb")
    assert limits(spec) == {"cpu": "100m", "memory": "500Mi", "nvidia.com/mig-1g.5gb": "1"}
    assert spec["tolerations"] == [TAINT]
    assert "affinity" not in spec


def test_entry_without_a_part_is_for_all_others() -> None:
    for part in ({}, {"unpartitioned": True}, {"partition_size": "3g.20gb"}):
        spec = spec_of(A100, **part)
        assert limits(spec)["nvidia.com/gpu"] == "1"
        assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}
        assert "affinity" not in spec


def test_labels_take_the_names_that_the_task_gives() -> None:
    spec = spec_of("tpu-v5-lite-podslice", partition_size="2x4")
    assert limits(spec)["google.com/tpu"] == "1"
    assert spec["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
    }


def test_gpus_of_pods_become_the_resource_too_whatever_they_are_called() -> None:
    for name in ("gpu", "nvidia.com/gpu"):
        pod = pod_task({"name": "primary", "image": "i", "resources": {"limits": {name: "1"}}})
        spec = spec_of(A100, pod, partition_size="1g.5gb")
        assert limits(spec) == {"cpu": "100m", "memory": "500Mi", "nvidia.com/mig-1g.5gb": "1"}


def test_device_without_an_entry_is_found_by_the_usual_labels() -> None:
    spec = spec_of("nvidia-h100", partition_size="1g.10gb")
    assert limits(spec)["nvidia.com/gpu"] == "1"
    assert "affinity" in spec


def test_accelerator_and_shared_memory_of_a_node_go_before_the_tasks_each_for_itself() -> None:
    own = tasks_pb2.ExtendedResources(
        gpu_accelerator=tasks_pb2.GPUAccelerator(device="nvidia-l4"),
        shared_memory=tasks_pb2.SharedMemory(mount_name="shm", mount_path="/dev/shm", size_limit="1Gi"),
    )
    made = template(container=container(requests={"gpu": "1"}), extended_resources=own)
    over = tasks_pb2.ExtendedResources(gpu_accelerator=tasks_pb2.GPUAccelerator(device="nvidia-h100"))
    spec = build_pod(task(made, extended_resources=over)).manifest["spec"]
    assert [each["value"] for each in spec["tolerations"]] == ["nvidia-h100"]
    assert spec["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]


def test_not_unpartitioned_says_nothing() -> None:
    made = template(
        container=container(requests={"gpu": "1"}),
        extended_resources=tasks_pb2.ExtendedResources(
            gpu_accelerator=tasks_pb2.GPUAccelerator(device=A100, unpartitioned=False)
        ),
    )
    affinity = build_pod(task(made)).manifest["spec"]["affinity"]["nodeAffinity"]
    expressions = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"]
    assert [each["key"] for each in expressions] == ["k8s.amazonaws.com/accelerator"]


def test_user_is_told_that_an_accelerator_without_a_gpu_changes_nothing() -> None:
    device = tasks_pb2.ExtendedResources(gpu_accelerator=tasks_pb2.GPUAccelerator(device="nvidia-l4"))
    attempt = task(template(extended_resources=device))
    made = build_pod(attempt).manifest
    reading = CONTAINERS.read(Seen(made, datetime.now(UTC), attempt.scheduled, attempt.settings))
    assert reading.stage == AttemptObserved.QUEUED
    assert reading.reason == (
        "task submitted to K8s; the accelerator nvidia-l4 is not heeded, since no container asks for nvidia.com/gpu"
    )
    heeded = task(template(container=container(requests={"gpu": "1"}), extended_resources=device))
    made = build_pod(heeded).manifest
    assert CONTAINERS.read(Seen(made, datetime.now(UTC), heeded.scheduled, heeded.settings)).reason == SUBMITTED
