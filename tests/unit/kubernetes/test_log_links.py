"""Links to logs: which there are, what they are called and where they lead (k8s-contract §2.10)."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from flyteidl.core.execution_pb2 import TaskLog
from flyteidl.core.identifier_pb2 import Identifier, ResourceType, WorkflowExecutionIdentifier
from flyteidl.core.tasks_pb2 import TaskTemplate

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.kubernetes.objects import Task
from services.k8s_launcher.kubernetes.pods import logs
from services.k8s_launcher.kubernetes.pods.log_settings import LogSettings
from services.k8s_launcher.kubernetes.pods.metadata import Metadata, object_metadata
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.templates import TemplateValues

SCHEDULED = AttemptScheduled(
    execution_id=WorkflowExecutionIdentifier(project="p", domain="d", name="a1b2c3d4e5f6g7h8i9j0"),
    node_id="n0",
    attempt=2,
    generated_name="a1b2c3d4e5f6g7h8i9j0-n0-2",
    task_id=Identifier(resource_type=ResourceType.TASK, project="tp", domain="td", name="pkg.wf.t", version="v1"),
)


def _pod(**annotations: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "a1b2c3d4e5f6g7h8i9j0-n0-2",
            "namespace": "p-d",
            "uid": "0a1b",
            "creationTimestamp": "2026-01-31T12:00:00Z",
            "annotations": annotations,
        },
        "spec": {
            "nodeName": "node-7",
            "hostname": "host",
            "containers": [{"name": "side"}, {"name": "main"}],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "side", "containerID": "containerd://111", "state": {"running": {}}},
                {"name": "main", "containerID": "containerd://abc", "state": {"running": {}}},
            ],
        },
    }


def _task(template: TaskTemplate) -> Task:
    nowhere = TemplateValues(*[""] * 8)
    return Task(SCHEDULED, template, nowhere, None, "p-d", SCHEDULED.generated_name, KubernetesSettings())


def _links(settings: dict[str, Any], pod: dict[str, Any] | None = None, **more: Any) -> tuple[TaskLog, ...]:
    return logs.pod_links(pod or _pod(), "main", SCHEDULED, LogSettings.model_validate(settings), **more)


def _templates(*uris: str, **more: Any) -> dict[str, Any]:
    return {"templates": [{"display_name": "Ours", "template_uris": list(uris), **more}]}


def test_there_are_no_links_unless_the_operator_says_where_logs_are() -> None:
    assert _links({}) == ()


def test_the_dashboard_of_flytes_sandbox_is_the_built_in_address() -> None:
    (link,) = _links({"kubernetes_enabled": True})
    assert link.uri == "http://localhost:30082/#!/log/p-d/a1b2c3d4e5f6g7h8i9j0-n0-2/pod?namespace=p-d"
    assert link.name == "Kubernetes Logs (User)"
    assert link.message_format == TaskLog.JSON


def test_addresses_of_the_dashboard_can_be_given_in_part_or_whole() -> None:
    (part,) = _links({"kubernetes_enabled": True, "kubernetes_url": "https://k8s.example"})
    assert part.uri.startswith("https://k8s.example/#!/log/p-d/")
    (whole,) = _links({"kubernetes_enabled": True, "kubernetes_template_uri": "https://x/{{.podName}}"})
    assert whole.uri == "https://x/a1b2c3d4e5f6g7h8i9j0-n0-2"


def test_cloudwatch_and_stackdriver_have_addresses_of_their_own() -> None:
    cloudwatch, stackdriver = _links(
        {
            "cloudwatch_enabled": True,
            "cloudwatch_region": "us-east-1",
            "cloudwatch_log_group": "/eks/logs",
            "stackdriver_enabled": True,
            "gcp_project": "gp",
            "stackdriver_logresourcename": "k8s_container",
        }
    )
    assert cloudwatch.name == "Cloudwatch Logs (User)"
    assert cloudwatch.uri == (
        "https://console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group=/eks/logs;"
        "stream=var.log.containers.a1b2c3d4e5f6g7h8i9j0-n0-2_p-d_main-abc.log"
    )
    assert stackdriver.name == "Stackdriver Logs (User)"
    assert stackdriver.uri == (
        "https://console.cloud.google.com/logs/viewer?project=gp&angularJsUrl=%2Flogs%2Fviewer%3Fproject%3Dgp"
        "&resource=k8s_container&advancedFilter=resource.labels.pod_name%3Da1b2c3d4e5f6g7h8i9j0-n0-2"
    )


@pytest.mark.parametrize(
    ("placeholder", "value"),
    [
        ("{{ .logName }}", " (User)"),
        ("{{.podName}}", "a1b2c3d4e5f6g7h8i9j0-n0-2"),
        ("{{ $PODNAME }}", "a1b2c3d4e5f6g7h8i9j0-n0-2"),
        ("{{ .podUID }}", "0a1b"),
        ("{{ .namespace }}", "p-d"),
        ("{{ .containerName }}", "main"),
        ("{{ .containerID }}", "abc"),
        ("{{ .hostname }}", "host"),
        ("{{ .nodeName }}", "node-7"),
        ("{{ .podRFC3339StartTime }}", "2026-01-31T12:00:00Z"),
        ("{{ .podUnixStartTime }}", "1769860800"),
        ("{{ .podRFC3339FinishTime }}", "2026-02-01T12:00:00Z"),
        ("{{ .podUnixFinishTime }}", "1769947200"),
        ("{{ .taskID }}", "pkg.wf.t"),
        ("{{ .taskVersion }}", "v1"),
        ("{{ .taskProject }}", "tp"),
        ("{{ .taskDomain }}", "td"),
        ("{{ .taskRetryAttempt }}", "2"),
        ("{{ .nodeID }}", "n0"),
        ("{{ .executionName }}", "a1b2c3d4e5f6g7h8i9j0"),
        ("{{ .executionProject }}", "p"),
        ("{{ .executionDomain }}", "d"),
        ("{{ .generatedName }}", "a1b2c3d4e5f6g7h8i9j0-n0-2"),
        ("{{ .whatever }}", "{{ .whatever }}"),
    ],
)
def test_a_placeholder_is_replaced(placeholder: str, value: str) -> None:
    (link,) = _links(_templates(f"x/{placeholder}/y"))
    assert link.uri == f"x/{value}/y"


def test_a_value_that_is_not_known_leaves_its_placeholder() -> None:
    pod = _pod()
    del pod["spec"]["hostname"]
    (link,) = _links(_templates("{{ .hostname }}"), pod)
    assert link.uri == "{{ .hostname }}"


def test_the_real_end_is_told_when_there_is_one() -> None:
    pod = _pod()
    pod["status"]["containerStatuses"][1]["state"] = {
        "terminated": {"exitCode": 0, "finishedAt": "2026-01-31T13:00:00Z"}
    }
    (link,) = _links(_templates("{{ .podRFC3339FinishTime }}"), pod)
    assert link.uri == "2026-01-31T13:00:00Z"


def test_every_address_of_a_template_is_a_link_with_what_was_said_of_it() -> None:
    found = _links(_templates("a", "b", message_format="csv", show_while_pending=True, hide_once_finished=True))
    assert [link.uri for link in found] == ["a", "b"]
    for link in found:
        assert link.name == "Ours (User)"
        assert link.message_format == TaskLog.CSV
        assert link.ShowWhilePending
        assert link.HideOnceFinished


def test_plugins_say_what_kind_of_log_it_is_and_know_more_variables() -> None:
    settings = LogSettings.model_validate(_templates("{{ .rayClusterName }}/{{ .podName }}"))
    source = logs.LogSource(pod_name="head", namespace="p-d")
    (link,) = logs.links(source, SCHEDULED, settings, suffix=" (Driver Logs)", extra={"rayClusterName": "cluster-1"})
    assert link.name == "Ours (Driver Logs)"
    assert link.uri == "cluster-1/head"


def test_there_is_no_link_before_the_container_has_a_status() -> None:
    pod = _pod()
    del pod["status"]["containerStatuses"]
    assert _links({"kubernetes_enabled": True}, pod) == ()


class TestDynamicLinks:
    SETTINGS: ClassVar[dict[str, Any]] = {
        "dynamic_log_links": {
            "vscode": {"display_name": "VSCode", "template_uris": ["vs/{{ .podName }}:{{ .taskConfig.port }}"]},
            "wandb": {
                "display_name": "W&B",
                "template_uris": ["wandb/{{ .taskConfig.run }}"],
                "show_while_pending": True,
            },
        }
    }

    def _asking(self, **config: str) -> dict[str, Any]:
        return _pod(**logs.wanted(TaskTemplate(config=config)))

    def test_what_the_task_asks_for_is_on_its_object(self) -> None:
        asking, not_asking = TaskTemplate(config={"link_type": "vscode", "port": "1"}), TaskTemplate()
        annotations = object_metadata(_task(asking), Metadata())["annotations"]
        assert logs.task_config({"metadata": {"annotations": annotations}}) == dict(asking.config)
        assert logs.ANNOTATION not in object_metadata(_task(not_asking), Metadata())["annotations"]

    def test_a_task_that_asks_for_none_gets_none_and_no_annotation(self) -> None:
        assert logs.wanted(TaskTemplate(config={"port": "1"})) == {}
        assert _links(self.SETTINGS) == ()

    def test_a_task_gets_those_that_it_names_with_its_own_values(self) -> None:
        wandb, vscode = _links(
            {**self.SETTINGS, "dynamic_log_links": dict(reversed(self.SETTINGS["dynamic_log_links"].items()))},
            self._asking(link_type="wandb,vscode,unknown", port="8080", run="r1"),
        )[::-1]
        assert (vscode.name, vscode.uri) == ("VSCode (User)", "vs/a1b2c3d4e5f6g7h8i9j0-n0-2:8080")
        assert (wandb.name, wandb.uri) == ("W&B (User)", "wandb/r1")
        assert wandb.ShowWhilePending
        assert not vscode.ShowWhilePending
        assert vscode.message_format == TaskLog.JSON


@pytest.mark.parametrize("spoilt", ["{", "7", "[]", '{"link_type": 7, "port": null}'])
def test_a_configuration_that_was_spoilt_on_the_object_has_no_links(spoilt: str) -> None:
    assert _links({}, _pod(**{logs.ANNOTATION: spoilt})) == ()
