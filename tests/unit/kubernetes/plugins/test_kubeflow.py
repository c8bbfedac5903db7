"""PyTorch, TensorFlow and MPI tasks as jobs of the training operator (k8s-contract §5.5, T98-T102)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.plugins.serialised import (
    CREATED,
    NOW,
    container,
    custom,
    manifest,
    reading,
    settings,
    variables,
)
from tests.unit.kubernetes.pods import tasks

GPU = {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}


def _condition(kind: str, second: int, *, holds: bool = True, **fields: str) -> dict[str, str]:
    at = f"2026-01-01T12:00:{second:02}Z"
    return {"type": kind, "status": "True" if holds else "False", "lastTransitionTime": at, **fields}


def _task(replicas: dict[str, Any], name: str) -> dict[str, Any]:
    return container(replicas["template"]["spec"], name)


def test_pytorch_has_a_master_and_workers() -> None:
    """T98."""
    job = manifest("pytorch_plain")
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    groups = job["spec"]["pytorchReplicaSpecs"]
    assert {role: group["replicas"] for role, group in groups.items()} == {"Master": 1, "Worker": 2}
    for group in groups.values():
        assert group["restartPolicy"] == "Never"
        task = _task(group, "pytorch")
        assert task["args"][0] == "pyflyte-execute"
        assert task["resources"]["limits"] == GPU
        spec = group["template"]["spec"]
        terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert terms[0]["matchExpressions"][0]["values"] == ["nvidia-tesla-t4"]
        assert group["template"]["metadata"]["labels"]["execution-id"] == tasks.EXECUTION
    assert "elasticPolicy" not in job["spec"]


def test_pytorch_groups_have_their_own_image_resources_and_policies() -> None:
    job = manifest("pytorch_groups")
    groups = job["spec"]["pytorchReplicaSpecs"]
    assert _task(groups["Master"], "pytorch")["image"] == "example.com/master:2"
    assert _task(groups["Master"], "pytorch")["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert (groups["Worker"]["replicas"], groups["Worker"]["restartPolicy"]) == (3, "OnFailure")
    assert _task(groups["Worker"], "pytorch")["resources"]["limits"] == GPU
    assert job["spec"]["runPolicy"] == {
        "cleanPodPolicy": "All",
        "ttlSecondsAfterFinished": 9,
        "activeDeadlineSeconds": 8,
        "backoffLimit": 7,
    }


def test_elastic_pytorch_has_workers_only() -> None:
    """T98."""
    job = manifest("pytorch_elastic")
    assert list(job["spec"]["pytorchReplicaSpecs"]) == ["Worker"]
    worker = job["spec"]["pytorchReplicaSpecs"]["Worker"]
    assert worker["replicas"] == 4
    assert job["spec"]["elasticPolicy"] == {
        "minReplicas": 2,
        "maxReplicas": 4,
        "nProcPerNode": 8,
        "maxRestarts": 3,
        "rdzvBackend": "c10d",
    }
    # flytekit's shared memory is in the task's pod.
    assert worker["template"]["spec"]["volumes"][0]["emptyDir"]["medium"] == "Memory"
    assert _task(worker, "pytorch")["volumeMounts"][0]["mountPath"] == "/dev/shm"


def test_first_version_of_pytorch() -> None:
    """T98."""
    job = manifest(custom("pytorch", 0, workers=3))
    assert {role: group["replicas"] for role, group in job["spec"]["pytorchReplicaSpecs"].items()} == {
        "Master": 1,
        "Worker": 3,
    }
    assert list(manifest(custom("pytorch", 0))["spec"]["pytorchReplicaSpecs"]) == ["Master"]
    elastic = manifest(custom("pytorch", 0, workers=2, elasticConfig={"minReplicas": 1, "maxReplicas": 2}))
    assert list(elastic["spec"]["pytorchReplicaSpecs"]) == ["Worker"]


def test_fields_of_a_group_yield_to_its_common_part() -> None:
    group = {"replicas": 9, "image": "old:1", "common": {"replicas": 2, "image": "new:1", "restartPolicy": 2}}
    worker = manifest(custom("pytorch", 1, workerReplicas=group))["spec"]["pytorchReplicaSpecs"]["Worker"]
    assert (worker["replicas"], worker["restartPolicy"]) == (2, "Always")
    assert _task(worker, "pytorch")["image"] == "new:1"


def test_errors_of_all_workers_are_kept_apart_if_wanted() -> None:
    wanted = settings(operators={"kubeflow": {"error_aggregation": True}})
    for group in manifest("pytorch_plain", wanted)["spec"]["pytorchReplicaSpecs"].values():
        told = variables(_task(group, "pytorch"))
        assert told["_F_DES"] == "Earliest"
        assert told["_F_WN"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    for group in manifest("pytorch_plain")["spec"]["pytorchReplicaSpecs"].values():
        assert "_F_DES" not in variables(_task(group, "pytorch"))


def test_all_replicas_follow_the_interruptible_flag() -> None:
    pods = {"interruptible_node_selector": {"spot": "true"}}
    groups = manifest("pytorch_plain", settings(pods=pods), interruptible=True)["spec"]["pytorchReplicaSpecs"]
    assert [group["template"]["spec"]["nodeSelector"] for group in groups.values()] == [{"spot": "true"}] * 2


def test_tensorflow_has_the_roles_asked_for() -> None:
    job = manifest("tensorflow_groups")
    groups = job["spec"]["tfReplicaSpecs"]
    counts = {"Chief": 1, "Worker": 3, "PS": 2, "Evaluator": 1}
    assert {role: group["replicas"] for role, group in groups.items()} == counts
    assert _task(groups["Worker"], "tensorflow")["image"] == "example.com/worker:2"
    assert _task(groups["PS"], "tensorflow")["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    first = manifest(custom("tensorflow", 0, workers=1, psReplicas=2))
    assert {role: group["replicas"] for role, group in first["spec"]["tfReplicaSpecs"].items()} == {
        "Worker": 1,
        "PS": 2,
    }


def test_mpi_has_slots_and_a_launcher() -> None:
    job = manifest("mpi_groups")
    assert job["spec"]["slotsPerWorker"] == 4
    groups = job["spec"]["mpiReplicaSpecs"]
    assert {role: group["replicas"] for role, group in groups.items()} == {"Launcher": 1, "Worker": 2}
    assert _task(groups["Launcher"], "mpi")["args"][0] == "mpirun"
    assert _task(groups["Worker"], "mpi")["args"] == ["/usr/sbin/sshd", "-De"]
    assert _task(groups["Worker"], "mpi")["resources"]["limits"] == GPU
    assert manifest("mpi_horovod")["spec"]["slotsPerWorker"] == 2


def test_first_version_of_mpi() -> None:
    task = custom("mpi", 0, numWorkers=2, numLauncherReplicas=1, slots=8)
    task.config["worker_spec_command"] = "/usr/sbin/sshd -De"
    job = manifest(task)
    assert job["spec"]["slotsPerWorker"] == 8
    assert _task(job["spec"]["mpiReplicaSpecs"]["Launcher"], "mpi")["args"][0] == "run"
    assert _task(job["spec"]["mpiReplicaSpecs"]["Worker"], "mpi")["args"] == ["/usr/sbin/sshd", "-De"]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (custom("tensorflow", 1, psReplicas={"replicas": 1}), "workers"),
        (custom("tensorflow", 0), "workers"),
        (custom("mpi", 1, launcherReplicas={"replicas": 1}), "workers"),
        (custom("mpi", 0, numLauncherReplicas=1), "workers"),
        (custom("pytorch", 1, elasticConfig={"minReplicas": 1}), "worker"),
        (custom("pytorch", 7), "version 7"),
        (custom("pytorch", 1, workerReplicas={"replicas": "many"}), "configuration for 'pytorch'"),
    ],
)
def test_jobs_that_cannot_be(task: Any, why: str) -> None:
    """T102."""
    with pytest.raises(NotLaunchable, match=why) as refusal:
        manifest(task)
    assert refusal.value.code == "FailedToBuildResource"
    assert not refusal.value.recoverable


@pytest.mark.parametrize("name", ["pytorch_plain", "tensorflow_groups", "mpi_groups"])
@pytest.mark.parametrize(
    ("conditions", "stage"),
    [
        ([], AttemptObserved.QUEUED),
        ([_condition("Created", 1)], AttemptObserved.QUEUED),
        ([_condition("Created", 1), _condition("Running", 2)], AttemptObserved.RUNNING),
        ([_condition("Created", 1), _condition("Running", 1)], AttemptObserved.RUNNING),
        ([_condition("Running", 2, holds=False), _condition("Restarting", 3)], AttemptObserved.RUNNING),
        ([_condition("Created", 1), _condition("Running", 2), _condition("Suspended", 3)], AttemptObserved.QUEUED),
        ([_condition("Suspended", 3, holds=False), _condition("Running", 2)], AttemptObserved.RUNNING),
        ([_condition("Succeeded", 4), _condition("Running", 2, holds=False)], AttemptObserved.EXITED),
        ([_condition("Running", 2, holds=False), _condition("Created", 1, holds=False)], AttemptObserved.QUEUED),
    ],
)
def test_newest_condition_that_holds_counts(
    name: str, conditions: list[dict[str, str]], stage: AttemptObserved.Stage
) -> None:
    """T101."""
    assert reading(name, {"startTime": "2026-01-01T12:00:01Z", "conditions": conditions}).stage == stage


def test_suspended_job_says_so() -> None:
    conditions = [_condition("Running", 2, holds=False), _condition("Suspended", 3)]
    assert reading("pytorch_plain", {"conditions": conditions}).reason == "Suspended"
    late = CREATED + timedelta(hours=5)
    found = reading("pytorch_plain", None, spec={"runPolicy": {"suspend": True}}, now=late)
    assert (found.stage, found.reason) == (AttemptObserved.QUEUED, "Suspended")


def test_failed_job() -> None:
    """T100."""
    conditions = [_condition("Failed", 9, reason="JobFailed", message="worker 1 exited")]
    found = reading("pytorch_plain", {"conditions": conditions})
    assert found.stage == AttemptObserved.FAILED
    assert found.recoverable
    assert found.error is not None
    assert (found.error.code, found.error.kind) == ("DownstreamSystemError", ExecutionError.USER)
    assert found.error.message == "Job failed:\n\tJobFailed - worker 1 exited"
    assert found.occurred_at == CREATED + timedelta(seconds=9)


def test_operator_that_says_nothing_is_waited_for_and_named() -> None:
    """T99."""
    soon = reading("pytorch_plain", None)
    assert (soon.stage, soon.reason, soon.again_at) == (
        AttemptObserved.QUEUED,
        "JobCreated",
        CREATED + timedelta(minutes=1),
    )
    late = reading("pytorch_plain", {}, now=CREATED + timedelta(minutes=2))
    assert late.stage == AttemptObserved.QUEUED
    assert late.again_at is None
    assert "training operator has not started the PyTorchJob p-d/" in late.reason


def test_links_lead_to_each_pod_by_its_real_name() -> None:
    links = settings(
        logs={"templates": [{"display_name": "L", "template_uris": ["{{ .podName }}/{{.containerName}}"]}]}
    )
    running = {"startTime": "2026-01-01T12:00:01Z", "conditions": [_condition("Running", 2)]}
    found = reading("tensorflow_groups", running, settings_of=links, now=NOW)
    ends = ["chief-0", "worker-0", "worker-1", "worker-2", "ps-0", "ps-1", "evaluator-0"]
    assert [each.uri for each in found.logs] == [f"{tasks.NAME}-{end}/tensorflow" for end in ends]
    assert [each.name for each in found.logs] == [f"L ({end})" for end in ends]
    found = reading("mpi_groups", running, settings_of=links)
    assert [each.uri for each in found.logs] == [
        f"{tasks.NAME}-{end}/mpi" for end in ("launcher", "worker-0", "worker-1")
    ]
    found = reading("pytorch_plain", running, settings_of=links)
    assert [each.name for each in found.logs] == ["L (master-0)", "L (worker-0)", "L (worker-1)"]
    assert reading("pytorch_plain", {}, settings_of=links).logs == ()


def test_status_is_shown_without_what_changes_with_every_replica() -> None:
    def info(kind: str, active: int, second: int) -> Any:
        status = {
            "conditions": [_condition(kind, 2)],
            "replicaStatuses": {"Worker": {"active": active}},
            "lastReconcileTime": f"2026-01-01T12:00:{second:02}Z",
        }
        return reading("pytorch_plain", status).custom_info

    assert info("Running", 1, 5) == info("Running", 2, 6) == {"conditions": [_condition("Running", 2)]}
    assert info("Failed", 1, 7)["replicaStatuses"] == {"Worker": {"active": 1}}
