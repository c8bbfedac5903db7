"""Ray tasks as RayJobs (k8s-contract §5.3, T90, T92-T97)."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.plugins.ray import Ray
from services.k8s_launcher.kubernetes.pods.names import object_name
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.plugins.serialised import (
    attempt,
    container,
    custom,
    manifest,
    reading,
    settings,
    variables,
)
from tests.unit.kubernetes.pods import tasks

GROUP = {"groupName": "w", "replicas": 2}


def _templates(job: dict[str, Any]) -> dict[str, Any]:
    cluster = job["spec"]["rayClusterSpec"]
    return {
        "ray-head": cluster["headGroupSpec"]["template"],
        "ray-worker": cluster["workerGroupSpecs"][0]["template"],
        "ray-job-submitter": job["spec"]["submitterPodTemplate"],
    }


def test_job_has_the_tasks_command_and_a_cluster_of_its_own() -> None:
    """T92."""
    job = manifest("ray_plain")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["metadata"]["name"] == tasks.NAME
    spec = job["spec"]
    assert spec["entrypoint"].startswith("pyflyte-execute --inputs s3://b/meta/n0/data/inputs.pb")
    assert (spec["shutdownAfterJobFinishes"], spec["ttlSecondsAfterFinished"]) == (True, 3600)
    group = spec["rayClusterSpec"]["workerGroupSpecs"][0]
    assert (group["groupName"], group["replicas"], group["minReplicas"], group["maxReplicas"]) == ("w", 2, 2, 2)
    head = spec["rayClusterSpec"]["headGroupSpec"]
    assert (head["serviceType"], head["enableIngress"]) == ("NodePort", False)
    assert head["rayStartParams"] == {
        "include-dashboard": "true",
        "node-ip-address": "$MY_POD_IP",
        "dashboard-host": "0.0.0.0",
        "disable-usage-stats": "true",
    }
    for name, template in _templates(job).items():
        (only,) = template["spec"]["containers"]
        assert only["name"] == name
        assert not only.get("args")
        assert only["resources"]["limits"] == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
        assert template["metadata"]["labels"]["execution-id"] == tasks.EXECUTION
    assert [port["containerPort"] for port in _templates(job)["ray-head"]["spec"]["containers"][0]["ports"]] == [
        6379,
        10001,
        8265,
    ]


def test_arguments_stay_what_they_are_in_the_operators_shell() -> None:
    """T92, of an empty argument."""
    words = ("python", "-c", "print('a b')", "", "$HOME", "a;b", "*")
    task = custom("ray", rayCluster={"workerGroupSpec": [GROUP]})
    task.container.args[:] = words
    entrypoint = manifest(task)["spec"]["entrypoint"]
    assert shlex.split(entrypoint) == list(words)
    assert " '' " in entrypoint


def test_workers_are_told_their_memory_as_memory() -> None:
    worker = _templates(manifest("ray_plain"))["ray-worker"]["spec"]["containers"][0]
    told = variables(worker)
    assert told["MEMORY_LIMITS"]["resourceFieldRef"] == {"containerName": "ray-worker", "resource": "limits.memory"}
    assert told["MEMORY_REQUESTS"]["resourceFieldRef"]["resource"] == "requests.memory"
    assert told["CPU_REQUEST"]["resourceFieldRef"]["resource"] == "requests.cpu"
    assert told["RAY_DISABLE_DOCKER_CPU_WARNING"] == "1"
    assert worker["lifecycle"]["preStop"]["exec"]["command"] == ["/bin/sh", "-c", "ray stop"]


def test_groups_have_pods_of_their_own() -> None:
    job = manifest("ray_groups")
    templates = _templates(job)
    assert templates["ray-head"]["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    worker = templates["ray-worker"]["spec"]["containers"][0]
    assert worker["resources"]["requests"] == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"]
    group = cluster["workerGroupSpecs"][0]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 1, 4)
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert (job["spec"]["shutdownAfterJobFinishes"], job["spec"]["ttlSecondsAfterFinished"]) == (True, 60)
    assert job["spec"]["runtimeEnvYAML"] == "pip:\n- numpy\n"


def test_old_runtime_environment_is_understood() -> None:
    # {"env_vars": {"A": "1"}}
    task = custom("ray", rayCluster={"workerGroupSpec": [GROUP]}, runtimeEnv="eyJlbnZfdmFycyI6IHsiQSI6ICIxIn19")
    assert manifest(task)["spec"]["runtimeEnvYAML"] == "env_vars:\n  A: '1'\n"


@pytest.mark.parametrize("broken", ["%%%", "eyJ"])
def test_old_runtime_environment_that_is_none(broken: str) -> None:
    task = custom("ray", rayCluster={"workerGroupSpec": [GROUP]}, runtimeEnv=broken)
    with pytest.raises(NotLaunchable, match="runtime environment"):
        manifest(task)


@pytest.mark.parametrize(("lowest", "most", "expected"), [(0, 0, (0, 2)), (5, 1, (2, 2)), (1, 9, (1, 9))])
def test_replicas_are_within_their_bounds(lowest: int, most: int, expected: tuple[int, int]) -> None:
    task = custom("ray", rayCluster={"workerGroupSpec": [{**GROUP, "minReplicas": lowest, "maxReplicas": most}]})
    group = manifest(task)["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert (group["minReplicas"], group["maxReplicas"]) == expected


def test_secrets_reach_all_pods() -> None:
    """T90."""
    for name, template in _templates(manifest("ray_groups")).items():
        told = variables(container(template["spec"], name))
        assert told["_FSEC_TOKENS_HUB"]["secretKeyRef"] == {"name": "tokens", "key": "Hub", "optional": True}, name


def test_submitter_may_do_without_the_tasks_devices() -> None:
    job = manifest("ray_plain", settings(operators={"ray": {"submitter_without_gpu": True}}))
    submitter = container(job["spec"]["submitterPodTemplate"]["spec"], "ray-job-submitter")
    assert submitter["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert "nvidia.com/gpu" in _templates(job)["ray-worker"]["spec"]["containers"][0]["resources"]["limits"]


def test_group_adds_labels_and_cannot_take_those_of_the_attempt() -> None:
    def job_with(**labels: str) -> dict[str, Any]:
        pod = {"metadata": {"labels": labels}}
        return manifest(custom("ray", rayCluster={"headGroupSpec": {"k8sPod": pod}, "workerGroupSpec": [GROUP]}))

    templates = _templates(job_with(role="head"))
    assert templates["ray-head"]["metadata"]["labels"]["role"] == "head"
    assert "role" not in templates["ray-worker"]["metadata"]["labels"]
    for reserved in ("execution-id", "project", "node-id", "flightlog.dev/attempt"):
        with pytest.raises(NotLaunchable, match=reserved) as refusal:
            job_with(**{reserved: "other"})
        assert refusal.value.code == "FailedToBuildResource"


def test_container_that_a_groups_pod_calls_primary_is_rays() -> None:
    pod = {
        "primaryContainerName": "primary",
        "podSpec": {"containers": [{"name": "primary", "image": "worker:2"}], "runtimeClassName": "nvidia"},
    }
    job = manifest(custom("ray", rayCluster={"workerGroupSpec": [{**GROUP, "k8sPod": pod}]}))
    spec = _templates(job)["ray-worker"]["spec"]
    assert [(each["name"], each["image"]) for each in spec["containers"]] == [("ray-worker", "worker:2")]
    assert spec["runtimeClassName"] == "nvidia"


@pytest.mark.parametrize(
    ("said", "requests", "limits"),
    [
        ({"requests": {"cpu": "4"}}, {"cpu": "4", "memory": "500Mi"}, {"cpu": "4", "memory": "500Mi"}),
        ({"limits": {"cpu": "50m"}}, {"cpu": "50m", "memory": "500Mi"}, {"cpu": "50m", "memory": "500Mi"}),
        ({"requests": {"gpu": 2}}, *[{"cpu": "100m", "memory": "500Mi", "nvidia.com/gpu": "2"}] * 2),
        ({"limits": {"cpu": "4"}}, {"cpu": "100m", "memory": "500Mi"}, {"cpu": "4", "memory": "500Mi"}),
    ],
)
def test_groups_amounts_fit_together_with_the_tasks(said: Any, requests: Any, limits: Any) -> None:
    """KubeRay could not make the pods, and the job would wait for ever."""
    pod = {"primaryContainerName": "primary", "podSpec": {"containers": [{"name": "primary", "resources": said}]}}
    job = manifest(custom("ray", rayCluster={"workerGroupSpec": [{**GROUP, "k8sPod": pod}]}))
    found = _templates(job)["ray-worker"]["spec"]["containers"][0]["resources"]
    assert found == {"requests": requests, "limits": limits}


def test_group_whose_pod_is_none_is_refused() -> None:
    for spec, why in (({"containers": "x"}, "must be a list"), ({"containers": [{"image": "i"}]}, "has no name")):
        with pytest.raises(NotLaunchable, match=why):
            manifest(custom("ray", rayCluster={"workerGroupSpec": [{**GROUP, "k8sPod": {"podSpec": spec}}]}))


def test_configuration_with_numbers_that_json_has_not_is_refused() -> None:
    with pytest.raises(NotLaunchable, match="configuration"):
        manifest(custom("ray", rayCluster={}, ttl=float("inf")))


def test_rays_container_comes_first() -> None:
    task = tasks.pod_task({"name": "proxy", "image": "proxy:1"}, {"name": "primary", "image": "task:1"}, type="ray")
    task.custom.update({"rayCluster": {"workerGroupSpec": [GROUP]}})
    for name, template in _templates(manifest(task)).items():
        assert [each["name"] for each in template["spec"]["containers"]] == [name, "proxy"]


def test_sidecar_cannot_have_the_name_of_rays_container() -> None:
    task = tasks.pod_task({"name": "ray-head", "image": "x:1"}, {"name": "primary", "image": "task:1"}, type="ray")
    task.custom.update({"rayCluster": {"workerGroupSpec": [GROUP]}})
    with pytest.raises(NotLaunchable, match="'ray-head'"):
        manifest(task)


def test_logs_sidecar_sees_what_ray_writes() -> None:
    sidecar = {"name": "logs", "image": "fluent:1"}
    job = manifest("ray_plain", settings(operators={"ray": {"logs_sidecar": sidecar}}))
    for name in ("ray-head", "ray-worker"):
        spec = _templates(job)[name]["spec"]
        (mount,) = container(spec, "logs")["volumeMounts"]
        assert mount == {"name": "system-ray-state", "mountPath": "/tmp/ray", "readOnly": True}
        assert container(spec, name)["volumeMounts"] == [{"name": "system-ray-state", "mountPath": "/tmp/ray"}]
        assert {"name": "system-ray-state", "emptyDir": {}} in spec["volumes"]
    # The settings are everybody's.
    assert sidecar == {"name": "logs", "image": "fluent:1"}


def test_autoscaler_is_set_up() -> None:
    options = {
        "upscalingMode": "UPSCALING_MODE_AGGRESSIVE",
        "idleTimeoutSeconds": 30,
        "image": "scaler:1",
        "env": [{"key": "A", "value": "1"}],
        "resources": {"limits": [{"name": "CPU", "value": "1"}]},
    }
    task = custom(
        "ray", rayCluster={"workerGroupSpec": [GROUP], "enableAutoscaling": True, "autoscalerOptions": options}
    )
    assert manifest(task)["spec"]["rayClusterSpec"]["autoscalerOptions"] == {
        "upscalingMode": "Aggressive",
        "idleTimeoutSeconds": 30,
        "image": "scaler:1",
        "env": [{"name": "A", "value": "1"}],
        "resources": {"limits": {"cpu": "1"}},
    }


def test_name_is_short_enough_for_kuberay() -> None:
    """T97."""
    task = attempt("ray_plain", execution="e" * 40, node="node12", longest=Ray.longest_name)
    assert len(task.scheduled.generated_name) > Ray.longest_name
    assert task.name == object_name(task.scheduled.generated_name, Ray.longest_name)
    assert len(task.name) == 8
    assert Ray().build(task).manifest["metadata"]["name"] == task.name


def test_service_account_of_the_settings_wins() -> None:
    job = manifest("ray_plain", settings(operators={"ray": {"service_account": "ray"}}))
    assert {each["spec"]["serviceAccountName"] for each in _templates(job).values()} == {"ray"}


@pytest.mark.parametrize(
    ("state", "stage", "reason"),
    [
        ("", AttemptObserved.QUEUED, "Scheduling"),
        ("Initializing", AttemptObserved.INITIALIZING, "cluster is creating"),
        ("Waiting", AttemptObserved.INITIALIZING, "Waiting"),
        ("Retrying", AttemptObserved.INITIALIZING, "Retrying"),
        ("Running", AttemptObserved.RUNNING, ""),
        ("Suspending", AttemptObserved.QUEUED, "Suspending"),
        ("Suspended", AttemptObserved.QUEUED, "Suspended"),
        ("Complete", AttemptObserved.EXITED, ""),
    ],
)
def test_states(state: str, stage: AttemptObserved.Stage, reason: str) -> None:
    """T93, T95 and T96."""
    found = reading("ray_plain", {"jobDeploymentStatus": state})
    assert (found.stage, found.reason) == (stage, reason)
    if stage == AttemptObserved.EXITED:
        assert found.exit is not None
        assert found.exit.code == 0


def test_no_status_of_a_suspended_job() -> None:
    found = reading("ray_plain", None, spec={"suspend": True})
    assert (found.stage, found.reason) == (AttemptObserved.QUEUED, "Suspended")


def test_failure_is_the_systems_and_the_cluster_goes() -> None:
    """T94."""
    status = {
        "jobDeploymentStatus": "Failed",
        "reason": "AppFailed",
        "message": "exit 1",
        "endTime": "2026-01-01T13:00:00Z",
    }
    found = reading("ray_plain", status)
    assert found.stage == AttemptObserved.FAILED
    assert found.error is not None
    assert (found.error.code, found.error.kind) == ("TaskFailedWithError", ExecutionError.SYSTEM)
    assert found.error.message.endswith("with error: [AppFailed] exit 1")
    assert found.recoverable
    assert found.of_no_use
    assert found.occurred_at is not None


def test_job_that_kuberay_refuses_is_not_tried_again() -> None:
    found = reading("ray_plain", {"jobDeploymentStatus": "ValidationFailed", "message": "no head"})
    assert found.stage == AttemptObserved.FAILED
    assert not found.recoverable
    assert found.error is not None
    assert "no head" in found.error.message


def test_links_lead_to_the_cluster() -> None:
    links = settings(
        logs={"kubernetes_enabled": True},
        operators={
            "ray": {
                "logs": {"templates": [{"display_name": "Logs", "template_uris": ["http://l/{{ .rayClusterName }}"]}]},
                "dashboard_link": {"display_name": "Ray Dashboard", "template_uris": ["http://d/{{ .rayJobID }}"]},
            }
        },
    )
    status = {"jobDeploymentStatus": "Running", "rayClusterName": "c-1", "jobId": "j-1", "dashboardURL": "http://c"}
    found = reading("ray_plain", status, settings_of=links)
    assert [(each.name, each.uri) for each in found.logs] == [("Logs (Ray Cluster)", "http://l/c-1")]
    found = reading("ray_plain", {**status, "jobStatus": "RUNNING"}, settings_of=links)
    assert [each.uri for each in found.logs] == ["http://l/c-1", "http://d/j-1"]
    assert found.custom_info is not None
    assert found.custom_info["rayClusterName"] == "c-1"


def test_links_that_need_a_pod_are_left_out() -> None:
    links = settings(logs={"kubernetes_enabled": True})
    assert reading("ray_plain", {"jobDeploymentStatus": "Running"}, settings_of=links).logs == ()
