"""Dask tasks as DaskJobs (k8s-contract §5.4, T104)."""

from __future__ import annotations

import pytest
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from tests.unit.kubernetes.plugins.serialised import container, manifest, reading, settings, template
from tests.unit.kubernetes.pods import tasks


def test_job_has_runner_scheduler_and_workers() -> None:
    """T104."""
    job = manifest("dask_groups")
    assert (job["apiVersion"], job["kind"]) == ("kubernetes.dask.org/v1", "DaskJob")
    runner = container(job["spec"]["job"]["spec"], "job-runner")
    assert runner["args"][0] == "pyflyte-execute"
    assert job["spec"]["job"]["spec"]["restartPolicy"] == "Never"
    cluster = job["spec"]["cluster"]["spec"]
    worker = container(cluster["worker"]["spec"], "dask-worker")
    assert cluster["worker"]["replicas"] == 2
    assert worker["args"] == [
        "dask-worker",
        "--name",
        "$(DASK_WORKER_NAME)",
        "--nthreads",
        "2",
        "--memory-limit",
        "3Gi",
    ]
    assert cluster["worker"]["spec"]["restartPolicy"] == "Always"
    scheduler = container(cluster["scheduler"]["spec"], "scheduler")
    assert scheduler["args"] == ["dask-scheduler"]
    assert scheduler["image"] == "example.com/scheduler:2"
    assert cluster["scheduler"]["spec"]["restartPolicy"] == "Always"
    service = cluster["scheduler"]["service"]
    assert service["type"] == "NodePort"
    assert service["selector"] == {"dask.org/cluster-name": tasks.NAME, "dask.org/component": "scheduler"}
    assert {port["name"]: port["port"] for port in service["ports"]} == {"tcp-comm": 8786, "dashboard": 8787}


def test_resources_of_a_group_stand_in_place_of_the_tasks() -> None:
    cluster = manifest("dask_groups")["spec"]["cluster"]["spec"]
    scheduler = container(cluster["scheduler"]["spec"], "scheduler")["resources"]
    assert scheduler["limits"] == {"cpu": "1", "memory": "500Mi"}
    worker = container(cluster["worker"]["spec"], "dask-worker")["resources"]
    assert worker["limits"] == {"cpu": "1500m", "memory": "3Gi"}
    runner = container(manifest("dask_groups")["spec"]["job"]["spec"], "job-runner")["resources"]
    assert runner["limits"] == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}


def test_resources_of_a_group_of_a_task_that_is_a_pod() -> None:
    task = tasks.pod_task(
        {"name": "primary", "image": "task:1", "resources": {"limits": {"cpu": "4", "nvidia.com/gpu": "1"}}},
        type="dask",
    )
    task.custom.CopyFrom(template("dask_groups").custom)
    cluster = manifest(task)["spec"]["cluster"]["spec"]
    scheduler = container(cluster["scheduler"]["spec"], "scheduler")["resources"]
    assert scheduler["limits"] == {"cpu": "1", "memory": "500Mi"}


def test_groups_without_resources_have_the_tasks() -> None:
    cluster = manifest("dask_plain")["spec"]["cluster"]["spec"]
    for group, name in (("scheduler", "scheduler"), ("worker", "dask-worker")):
        limits = container(cluster[group]["spec"], name)["resources"]["limits"]
        assert limits == {"cpu": "100m", "memory": "500Mi"}
    assert "--nthreads" in container(cluster["worker"]["spec"], "dask-worker")["args"]


def test_only_workers_may_be_taken_away() -> None:
    pods = {"interruptible_node_selector": {"spot": "true"}}
    spec = manifest("dask_groups", settings(pods=pods), interruptible=True)["spec"]
    assert spec["cluster"]["spec"]["worker"]["spec"]["nodeSelector"] == {"spot": "true"}
    assert "nodeSelector" not in spec["cluster"]["spec"]["scheduler"]["spec"]
    assert "nodeSelector" not in spec["job"]["spec"]


def test_labels_reach_all_pods() -> None:
    spec = manifest("dask_plain", labels={"team": "x"})["spec"]
    for holder in (spec["job"], spec["cluster"], *spec["cluster"]["spec"].values()):
        assert holder["metadata"]["labels"]["team"] == "x"
        assert holder["metadata"]["labels"]["execution-id"] == tasks.EXECUTION


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        (None, AttemptObserved.INITIALIZING),
        ("JobCreated", AttemptObserved.INITIALIZING),
        ("ClusterCreated", AttemptObserved.INITIALIZING),
        ("Running", AttemptObserved.RUNNING),
        ("Successful", AttemptObserved.EXITED),
    ],
)
def test_states(state: str | None, stage: AttemptObserved.Stage) -> None:
    assert reading("dask_plain", {"jobStatus": state} if state else None).stage == stage


def test_failure_uses_the_tasks_retries() -> None:
    found = reading("dask_plain", {"jobStatus": "Failed", "endTime": "2026-01-01T12:00:20Z"})
    assert found.stage == AttemptObserved.FAILED
    assert found.recoverable
    assert found.error is not None
    assert (found.error.code, found.error.kind) == ("DownstreamSystemError", ExecutionError.USER)


def test_link_leads_to_the_runner() -> None:
    links = settings(logs={"templates": [{"display_name": "L", "template_uris": ["{{ .podName }}"]}]})
    found = reading("dask_plain", {"jobStatus": "Running", "jobRunnerPodName": "r-1"}, settings_of=links)
    assert [(each.name, each.uri) for each in found.logs] == [("L (Dask Runner Logs)", "r-1")]
    assert reading("dask_plain", {"jobStatus": "JobCreated"}, settings_of=links).logs == ()
