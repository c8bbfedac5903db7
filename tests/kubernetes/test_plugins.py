"""Operators' objects against their own definitions in a real API server, and their statuses as the API keeps them.

No operator runs: what one would say of an object is written into its status. Every field that is sent must be one that
the definition knows, since the API server drops the others without a word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from flyteidl.core import tasks_pb2

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Built, Kind, Object, Plugin, Seen, Task
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from services.k8s_launcher.kubernetes.queueing import queued
from tests.unit.kubernetes.plugins import serialised
from tests.unit.kubernetes.pods import tasks

KUEUE = {"queueing": {"kind": "kueue", "rules": [{"queue": "q", "priority_class": "high"}], "suspend": True}}
VOLCANO = {
    "queueing": {
        "kind": "volcano",
        "rules": [{"queue": "q", "priority_class": "high"}],
        "kinds": ["PyTorchJob", "TFJob", "MPIJob", "RayJob", "DaskJob", "SparkApplication"],
        "pod_groups": ["PyTorchJob", "TFJob", "MPIJob", "RayJob", "DaskJob"],
    }
}
EVERYTHING = {
    "pods": {
        "default_tolerations": [{"key": "gpu", "operator": "Exists"}],
        "default_node_selector": {"pool": "tasks"},
        "default_affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "default_pod_security_context": {"runAsUser": 1000},
        "default_security_context": {"allowPrivilegeEscalation": False},
        "default_pod_dns_config": {"searches": ["example.com"]},
        "default_env_from_secrets": ["tokens"],
        "scheduler_name": "own",
        "enable_host_networking_pod": True,
    },
    "operators": {
        "kubeflow": {"error_aggregation": True},
        "ray": {"logs_sidecar": {"name": "logs", "image": "fluent:1"}, "submitter_without_gpu": True},
        "spark": {"pod_template": True},
    },
}

Step = tuple[Mapping[str, Any], AttemptObserved.Stage]
QUEUED, INITIALIZING, RUNNING = AttemptObserved.QUEUED, AttemptObserved.INITIALIZING, AttemptObserved.RUNNING
EXITED, FAILED = AttemptObserved.EXITED, AttemptObserved.FAILED


def _conditions(*kinds: str) -> Mapping[str, Any]:
    """One a second; only the last two hold, as the operator leaves them."""
    return {
        "startTime": "2026-01-01T12:00:00Z",
        "replicaStatuses": {"Worker": {"active": 2}},
        "conditions": [
            {
                "type": kind,
                "status": "True" if kind == "Created" or place == len(kinds) - 1 else "False",
                "lastTransitionTime": f"2026-01-01T12:00:0{place}Z",
                "lastUpdateTime": f"2026-01-01T12:00:0{place}Z",
                "reason": f"Job{kind}",
                "message": f"is {kind}",
            }
            for place, kind in enumerate(kinds)
        ],
    }


def _training(*, ends: str, stage: AttemptObserved.Stage) -> list[Step]:
    return [
        (_conditions("Created"), QUEUED),
        (_conditions("Created", "Running"), RUNNING),
        # Kueue takes the nodes away, and gives others.
        (_conditions("Created", "Running", "Suspended"), QUEUED),
        (_conditions("Created", "Running", "Suspended", "Running"), RUNNING),
        (_conditions("Created", "Running", "Restarting"), RUNNING),
        (_conditions("Created", "Running", ends), stage),
    ]


def _ray(*states: tuple[str, AttemptObserved.Stage]) -> list[Step]:
    known = {"jobId": "job-1", "rayClusterName": "cluster-1"}
    return [
        ({**known, "jobDeploymentStatus": state, "reason": "AppFailed", "message": "m"}, is_) for state, is_ in states
    ]


def _spark(*states: tuple[str, AttemptObserved.Stage]) -> list[Step]:
    driver = {"podName": "driver-1", "webUIIngressAddress": "ui.example.com"}
    return [({"applicationState": {"state": state}, "driverInfo": driver}, is_) for state, is_ in states]


LIVES: dict[str, tuple[str, list[Step]]] = {
    "pytorch succeeds": ("pytorch_plain", _training(ends="Succeeded", stage=EXITED)),
    "pytorch fails": ("pytorch_groups", _training(ends="Failed", stage=FAILED)),
    "tensorflow succeeds": ("tensorflow_groups", _training(ends="Succeeded", stage=EXITED)),
    "mpi fails": ("mpi_groups", _training(ends="Failed", stage=FAILED)),
    "ray succeeds": (
        "ray_groups",
        _ray(("", QUEUED), ("Initializing", INITIALIZING), ("Running", RUNNING), ("Complete", EXITED)),
    ),
    "ray fails": (
        "ray_plain",
        _ray(
            ("Suspended", QUEUED),
            ("Initializing", INITIALIZING),
            ("Running", RUNNING),
            ("Suspending", QUEUED),
            ("Retrying", INITIALIZING),
            ("Running", RUNNING),
            ("Failed", FAILED),
        ),
    ),
    "ray is refused": ("ray_plain", _ray(("ValidationFailed", FAILED))),
    "spark succeeds": (
        "spark_groups",
        _spark(("SUBMITTED", INITIALIZING), ("RUNNING", RUNNING), ("SUCCEEDING", RUNNING), ("COMPLETED", EXITED)),
    ),
    "spark fails": ("spark_groups", _spark(("RUNNING", RUNNING), ("FAILING", RUNNING), ("FAILED", FAILED))),
    "spark cannot be submitted": ("spark_groups", _spark(("SUBMISSION_FAILED", FAILED))),
    "dask succeeds": (
        "dask_groups",
        [
            ({"jobStatus": "JobCreated"}, INITIALIZING),
            ({"jobStatus": "ClusterCreated", "jobRunnerPodName": "runner-1"}, INITIALIZING),
            ({"jobStatus": "Running", "jobRunnerPodName": "runner-1"}, RUNNING),
            ({"jobStatus": "Successful", "jobRunnerPodName": "runner-1"}, EXITED),
        ],
    ),
    "dask fails": ("dask_plain", [({"jobStatus": "Running"}, RUNNING), ({"jobStatus": "Failed"}, FAILED)]),
}


def _plugin(task: Task) -> Plugin:
    return next(each.plugin for each in OPERATORS if task.template.type in each.task_types)


def _task(of: str | tasks_pb2.TaskTemplate, namespace: str, settings: Mapping[str, Any]) -> Task:
    task = serialised.attempt(of, serialised.settings(**settings), labels={"team": "x"}, annotations={"note": "y"})
    return dataclasses.replace(task, namespace=namespace)


async def _created(api: Api, built: Built) -> list[tuple[Object, Object]]:
    """What was sent, and what the API has kept of it."""
    made = [*built.before, (built.kind, built.manifest)]
    return [(sent, await api.create(kind, sent["metadata"]["namespace"], sent)) for kind, sent in made]


def _dropped(sent: Any, kept: Any, path: str = "") -> list[str]:
    """Where something of what was sent is not there any more."""
    if isinstance(sent, dict):
        found: list[str] = []
        for name, value in sent.items():
            here = f"{path}.{name}"
            # Empty lists and objects may be left out: they say nothing.
            missing = not isinstance(kept, dict) or name not in kept
            found += ([here] if value not in ([], {}) else []) if missing else _dropped(value, kept[name], here)
        return found
    if isinstance(sent, list):
        if not isinstance(kept, list) or len(kept) != len(sent):
            return [path]
        pairs = zip(sent, kept, strict=True)
        return [each for place, (one, other) in enumerate(pairs) for each in _dropped(one, other, f"{path}[{place}]")]
    return [] if sent == kept else [path]


@pytest.mark.parametrize("settings", [{}, KUEUE, VOLCANO, EVERYTHING], ids=["plain", "kueue", "volcano", "everything"])
@pytest.mark.parametrize("name", serialised.NAMES)
async def test_objects_are_what_their_definitions_know(
    operators: Api, namespace: str, name: str, settings: Mapping[str, Any]
) -> None:
    task = _task(name, namespace, settings)
    for sent, kept in await _created(operators, queued(_plugin(task).build(task), task)):
        dropped = _dropped(sent, kept)
        if sent["kind"] == "DaskJob":
            # Older operators read it; newer ones have it on each group, where it is too.
            dropped = [each for each in dropped if not each.startswith(".spec.cluster.metadata")]
        assert dropped == []


@pytest.mark.parametrize("task_type", [kind for each in OPERATORS for kind in each.task_types])
async def test_tasks_that_are_pods_pass_too(operators: Api, namespace: str, task_type: str) -> None:
    template = tasks.pod_task(
        {"name": "proxy", "image": "proxy:1"},
        {"name": "primary", "image": "task:1", "args": ["run"], "resources": {"limits": {"gpu": "1"}}},
        spec={"volumes": [{"name": "scratch", "emptyDir": {}}], "runtimeClassName": "nvidia"},
        type=task_type,
    )
    template.custom.update(
        {
            "workers": 1,
            "numWorkers": 1,
            "mainApplicationFile": "local:///main.py",
            "rayCluster": {"workerGroupSpec": [{"groupName": "w", "replicas": 1}]},
        }
        | ({"workers": {"numberOfWorkers": 1}} if task_type == "dask" else {})
    )
    task = _task(template, namespace, {})
    ((sent, kept),) = await _created(operators, _plugin(task).build(task))
    assert [each for each in _dropped(sent, kept) if not each.startswith(".spec.cluster.metadata")] == []


@pytest.mark.parametrize("life", LIVES)
async def test_phases_follow_the_status(operators: Api, namespace: str, life: str) -> None:
    name, steps = LIVES[life]
    task = _task(name, namespace, {})
    plugin = _plugin(task)
    built = plugin.build(task)
    ((_, made),) = await _created(operators, built)
    read = plugin.read(Seen(made, datetime.now(UTC), task.scheduled, task.settings))
    assert read.stage in {QUEUED, INITIALIZING}
    for status, stage in steps:
        seen = await _say(operators, built.kind, made, status)
        read = plugin.read(Seen(seen, datetime.now(UTC), task.scheduled, task.settings))
        assert (read.stage, status) == (stage, status)
    if steps[-1][1] == FAILED:
        assert read.error is not None
        assert read.error.message


async def _say(api: Api, kind: Kind, made: Object, status: Mapping[str, Any]) -> Object:
    """What an operator would: the whole status anew."""
    metadata = made["metadata"]
    current = await api.get(kind, metadata["namespace"], metadata["name"])
    return await api.replace(kind, metadata["namespace"], {**current, "status": dict(status)}, subresource="status")


async def test_suspended_objects_are_queued_from_the_beginning(operators: Api, namespace: str) -> None:
    for name in ("pytorch_plain", "tensorflow_groups", "mpi_groups", "ray_plain"):
        task = _task(name, namespace, KUEUE)
        plugin = _plugin(task)
        built = queued(plugin.build(task), task)
        ((_, made),) = await _created(operators, built)
        read = plugin.read(Seen(made, datetime.now(UTC), task.scheduled, task.settings))
        assert (read.stage, read.reason) == (QUEUED, "Suspended")


async def test_kind_without_a_definition_is_known_to_be_missing(api: Api) -> None:
    for operator in OPERATORS:
        error = operator.not_installed(operator.task_types[0])
        assert operator.definition in error.message
        assert not error.recoverable
    assert not await api.has(Kind("ray.io/v0", "RayJob", "rayjobs"))
