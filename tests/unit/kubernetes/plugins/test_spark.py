"""Spark tasks as SparkApplications (k8s-contract §5.2, T103)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.plugins.serialised import custom, manifest, reading, settings, variables
from tests.unit.kubernetes.pods import tasks

FILE = "local:///main.py"


def test_application_runs_the_tasks_command() -> None:
    spec = manifest("spark_groups")["spec"]
    assert (spec["type"], spec["mode"], spec["mainApplicationFile"]) == ("Python", "cluster", "local:///app/main.py")
    assert spec["arguments"][:3] == ["pyflyte-execute", "--inputs", "s3://b/meta/n0/data/inputs.pb"]
    assert spec["restartPolicy"] == {"type": "OnFailure", "onSubmissionFailureRetries": 14}
    assert spec["hadoopConf"] == {"fs.s3a.path.style.access": "true"}
    assert (spec["driver"]["cores"], spec["driver"]["memory"]) == (1, "1000M")
    executor = spec["executor"]
    assert (executor["cores"], executor["memory"], executor["instances"]) == (2, "2000M", 3)
    assert spec["driver"]["serviceAccount"] == executor["serviceAccount"] == "spark"


def test_names_and_times_are_the_attempts_own() -> None:
    at = Timestamp()
    at.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    conf = manifest("spark_groups", occurred_at=at)["spec"]["sparkConf"]
    assert conf["spark.kubernetes.executor.podNamePrefix"] == tasks.NAME
    assert conf["spark.kubernetes.driverEnv.FLYTE_START_TIME"] == "1767225600000"
    assert manifest("spark_groups", occurred_at=at) == manifest("spark_groups", occurred_at=at)


def test_configuration_of_the_task_goes_before_the_operators() -> None:
    of = settings(
        operators={
            "spark": {
                "default_conf": {
                    "a": "default",
                    "spark.driver.cores": "7",
                    "spark.kubernetes.driver.request.cores": "2",
                },
                "features": [{"name": "fast", "conf": {"b": "feature"}}],
            }
        }
    )
    own = {"a": "task", "spark.flyteorg.fast.enabled": "True", "spark.flyte.slow.enabled": "true"}
    conf = manifest(custom("spark", mainApplicationFile=FILE, sparkConf=own), of)["spec"]["sparkConf"]
    assert (conf["a"], conf["b"]) == ("task", "feature")
    assert "spark.flyteorg.fast.enabled" not in conf
    assert conf["spark.flyte.slow.enabled"] == "true"
    assert conf["spark.kubernetes.driver.limit.cores"] == "2"
    assert "spark.kubernetes.executor.limit.cores" not in conf


@pytest.mark.parametrize(
    ("application", "kind"), [("JAVA", "Java"), ("SCALA", "Scala"), ("R", "R"), ("PYTHON", "Python")]
)
def test_languages(application: str, kind: str) -> None:
    spec = manifest(custom("spark", mainClass="Main", applicationType=application))["spec"]
    assert (spec["type"], spec["mainClass"]) == (kind, "Main")


def test_nothing_to_run() -> None:
    """T103."""
    with pytest.raises(NotLaunchable, match="MainApplicationFile or MainClass") as refusal:
        manifest(custom("spark"))
    assert (refusal.value.code, refusal.value.recoverable) == ("FailedToBuildResource", False)


def test_executors_have_a_pod_of_their_own() -> None:
    spec = manifest("spark_groups")["spec"]
    assert spec["executor"]["image"] == "example.com/executor:2"
    assert spec["executor"]["labels"]["team"] == "spark"
    assert spec["executor"]["tolerations"] == [{"key": "spark", "operator": "Exists"}]
    assert spec["driver"]["image"] == "example.com/trainer:1.0"
    assert "tolerations" not in spec["driver"]


def test_driver_may_not_be_taken_away() -> None:
    pods = {"interruptible_node_selector": {"spot": "true"}, "default_node_selector": {"pool": "spark"}}
    spec = manifest("spark_groups", settings(pods=pods), interruptible=True)["spec"]
    assert spec["executor"]["nodeSelector"] == {"pool": "spark", "spot": "true"}
    assert spec["driver"]["nodeSelector"] == {"pool": "spark"}


def test_secrets_reach_driver_and_executors() -> None:
    spec = manifest("spark_groups")["spec"]
    (volume,) = spec["volumes"]
    assert volume["secret"]["secretName"] == "tokens"
    for role in ("driver", "executor"):
        (mount,) = spec[role]["volumeMounts"]
        assert (mount["name"], mount["mountPath"]) == (volume["name"], "/etc/flyte/secrets/tokens")
        told = variables(spec[role])
        assert told["_FSEC_TOKENS_STORE"]["secretKeyRef"]["key"] == "Store"
        assert told["FLYTE_MAX_ATTEMPTS"] == "3"


def test_whole_pods_are_passed_on_if_the_operator_knows_templates() -> None:
    of = settings(operators={"spark": {"pod_template": True}})
    pod = tasks.pod_task(
        {"name": "proxy", "image": "proxy:1"},
        {"name": "primary", "image": "task:1", "args": ["run"]},
        spec={"volumes": [{"name": "scratch", "emptyDir": {}}]},
        type="spark",
    )
    pod.custom.update({"mainApplicationFile": FILE})
    spec = manifest(pod, of)["spec"]
    assert spec["arguments"] == ["run"]
    assert spec["sparkVersion"] == "3.0.0"
    for role in ("driver", "executor"):
        inner = spec[role]["template"]["spec"]
        assert [each["name"] for each in inner["containers"]] == [f"spark-kubernetes-{role}", "proxy"]
        assert "args" not in inner["containers"][0]
        assert inner["volumes"] == [{"name": "scratch", "emptyDir": {}}]
        assert spec["sparkConf"][f"spark.kubernetes.{role}.podTemplateContainerName"] == f"spark-kubernetes-{role}"
    without = manifest(pod)["spec"]
    assert "template" not in without["driver"]
    assert without["sparkVersion"] == ""


def test_batch_scheduler_of_the_configuration() -> None:
    spec = manifest(custom("spark", mainApplicationFile=FILE, sparkConf={"spark.batchScheduler": "volcano"}))["spec"]
    assert spec["batchScheduler"] == "volcano"
    assert spec["sparkConf"]["spark.batchScheduler"] == "volcano"


def _reading(state: str, **status: Any) -> Any:
    return reading("spark_groups", {"applicationState": {"state": state, "errorMessage": "boom"}, **status})


@pytest.mark.parametrize(
    ("state", "stage", "reason"),
    [
        ("", AttemptObserved.QUEUED, "job queued"),
        ("SUBMITTED", AttemptObserved.INITIALIZING, "job submitted"),
        ("RUNNING", AttemptObserved.RUNNING, ""),
        ("PENDING_RERUN", AttemptObserved.RUNNING, "PENDING_RERUN"),
        ("SUCCEEDING", AttemptObserved.RUNNING, "SUCCEEDING"),
        ("FAILING", AttemptObserved.RUNNING, "FAILING"),
        ("UNKNOWN", AttemptObserved.RUNNING, "UNKNOWN"),
        ("SUSPENDED", AttemptObserved.QUEUED, "Suspended"),
        ("COMPLETED", AttemptObserved.EXITED, ""),
    ],
)
def test_states(state: str, stage: AttemptObserved.Stage, reason: str) -> None:
    found = _reading(state)
    assert (found.stage, found.reason) == (stage, reason)


@pytest.mark.parametrize(("state", "text"), [("FAILED", "Job Failed"), ("SUBMISSION_FAILED", "Submission Failed")])
def test_failures_use_the_tasks_retries(state: str, text: str) -> None:
    """T103."""
    found = _reading(state, terminationTime="2026-01-01T13:00:00Z")
    assert found.stage == AttemptObserved.FAILED
    assert (found.error.code, found.error.kind) == ("DownstreamSystemError", ExecutionError.USER)
    assert text in found.error.message
    assert found.error.message.endswith("boom")
    assert found.recoverable
    assert not found.of_no_use


def test_links_and_pages() -> None:
    def section(name: str) -> dict[str, Any]:
        return {"templates": [{"display_name": name, "template_uris": ["http://l/{{ .podName }}"]}]}

    of = settings(
        operators={
            "spark": {
                "history_server_url": "http://history/",
                "logs": {"mixed": section("A"), "user": section("B"), "system": section("C"), "all_user": section("D")},
            }
        }
    )

    def links(state: str, **status: Any) -> dict[str, str]:
        found = reading("spark_groups", {"applicationState": {"state": state}, **status}, settings_of=of)
        return {each.name: each.uri for each in found.logs}

    pending = {"C (System Logs)": f"http://l/{tasks.NAME}", "D (Spark-Submit/All User Logs)": f"http://l/{tasks.NAME}"}
    assert links("SUBMITTED") == pending
    driver = {"podName": "the-driver", "webUIIngressAddress": "ui.example.com"}
    of_driver = {"A (Driver Logs)": "http://l/the-driver", "B (User Logs)": "http://l/the-driver"}
    assert links("RUNNING", driverInfo=driver) == {
        **of_driver,
        **pending,
        "Spark Driver UI": "https://ui.example.com",
    }
    ended = links("COMPLETED", driverInfo=driver, sparkApplicationId="spark-1")
    assert ended == {**of_driver, **pending, "Spark History UI": "http://history/history/spark-1"}
    found = reading(
        "spark_groups",
        {"applicationState": {"state": "COMPLETED"}, "sparkApplicationId": "spark-1"},
        settings_of=of,
    )
    assert found.custom_info == {"sparkHistoryUI": "http://history/history/spark-1"}
