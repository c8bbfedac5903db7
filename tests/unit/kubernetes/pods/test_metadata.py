"""Labels and annotations of objects and of pods that operators make (k8s-contract §1.3, §1.4)."""

from __future__ import annotations

import re

import pytest
from flyteidl.core import identifier_pb2, security_pb2, tasks_pb2
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from services.k8s_launcher.kubernetes.pods.metadata import Metadata, object_metadata, pod_metadata, sanitised
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from tests.unit.kubernetes.pods.tasks import NAME, settings, task, template

OWN = Metadata({"team": "own", "own": "1"}, {"note": "own"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_pkg.wf.MyTask", "my-pkg-wf-mytask"),
        (".flytegen.my_pkg.task", "flytegen-my-pkg-task"),
        ("a" * 70, "a" * 63),
        ("a" * 62 + "_b", "a" * 62),
        ("a__.b", "a-b"),
        ("___", ""),
    ],
)
def test_name_becomes_a_label(name: str, expected: str) -> None:
    assert sanitised(name) == expected


@given(st.text(max_size=100))
def test_every_name_becomes_a_label_that_kubernetes_takes(name: str) -> None:
    assert re.fullmatch("([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?", sanitised(name))


def test_who_wins() -> None:
    metadata = tasks_pb2.TaskMetadata(
        metadata=tasks_pb2.K8sObjectMetadata(labels={"team": "task", "task": "1"}, annotations={"note": "task"})
    )
    defaults = settings(
        default_labels={"team": "default", "own": "default", "default": "1"}, default_annotations={"note": "default"}
    )
    attempt = task(template(metadata=metadata), settings_of=defaults, labels={"team": "execution"})
    found = object_metadata(attempt, OWN)
    assert found["name"] == NAME
    labels = found["labels"]
    assert {name: labels[name] for name in ("team", "own", "task", "default")} == {
        "team": "execution",
        "own": "1",
        "task": "1",
        "default": "1",
    }
    # The operator's annotations take the place of Flyte's own.
    assert found["annotations"] == {"note": "task"}


MARKS = {
    "flightlog.dev/made-before": '["/api/v1/namespaces/p-d/secrets/theirs"]',
    "flightlog.dev/log-links": "{",
    "a": "b",
}
"""Annotations by which a launcher knows what to remove with an object, and where its logs are."""
INSTANCE = {"flightlog.dev/instance": "flightlog", "flightlog.dev/priority-class": "high"}


@pytest.mark.parametrize("whose", ["the execution", "the task", "a pod template", "the task's pod"])
def test_nobody_else_can_say_what_a_launcher_says(whose: str) -> None:
    marks = tasks_pb2.K8sObjectMetadata(labels=INSTANCE, annotations=MARKS)
    attempt = {
        "the execution": lambda: task(labels=INSTANCE, annotations=MARKS),
        "the task": lambda: task(template(metadata=tasks_pb2.TaskMetadata(metadata=marks))),
        "a pod template": lambda: task(pod_template={"metadata": {"labels": INSTANCE, "annotations": MARKS}}),
        "the task's pod": lambda: task(
            template(
                config={"primary_container_name": "main"},
                k8s_pod=tasks_pb2.K8sPod(
                    metadata=marks, pod_spec=json_format.ParseDict({"containers": [{"name": "main"}]}, Struct())
                ),
            )
        ),
    }[whose]()
    metadata = build_pod(attempt).manifest["metadata"]
    assert [name for name in metadata["annotations"] if name.startswith("flightlog.dev/")] == []
    assert [name for name in metadata["labels"] if name.startswith("flightlog.dev/")] == [
        "flightlog.dev/priority-class"
    ]
    assert metadata["annotations"]["a"] == "b"
    of_operators = pod_metadata(attempt, Metadata())
    assert [name for name in of_operators["annotations"] if name.startswith("flightlog.dev/")] == []
    assert "flightlog.dev/instance" not in of_operators["labels"]


def test_what_says_which_attempt_it_is_cannot_be_overridden() -> None:
    attempt = task(labels={"execution-id": "x", "node-id": "x", "mine": "1"})
    labels = object_metadata(attempt, Metadata({"project": "x"}))["labels"]
    assert (labels["execution-id"], labels["node-id"], labels["project"], labels["mine"]) == (
        "a1b2c3d4e5f6g7h8i9j0",
        "n0",
        "p",
        "1",
    )


def test_pods_that_an_operator_makes_have_all_but_the_tasks() -> None:
    metadata = tasks_pb2.TaskMetadata(metadata=tasks_pb2.K8sObjectMetadata(labels={"task": "1"}))
    attempt = task(template(metadata=metadata), labels={"kueue.x-k8s.io/queue-name": "q"})
    found = pod_metadata(attempt, OWN)
    assert found.keys() == {"labels", "annotations"}
    assert found["labels"]["kueue.x-k8s.io/queue-name"] == "q"
    assert found["labels"]["own"] == "1"
    assert found["labels"]["execution-id"] == "a1b2c3d4e5f6g7h8i9j0"
    assert "task" not in found["labels"]
    assert found["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_elements_and_nested_nodes_are_labelled_by_their_own_workflows_id() -> None:
    assert object_metadata(task(node_id="n0-0-n5", spec_node_id="n5"), Metadata())["labels"]["node-id"] == "n5"
    assert object_metadata(task(node_id="fabc", spec_node_id=""), Metadata())["labels"]["node-id"] == "fabc"


def test_workflow_of_a_single_task_has_a_label_too() -> None:
    workflow = identifier_pb2.Identifier(name=".flytegen.my_pkg.wf.MyTask")
    labels = object_metadata(task(workflow_id=workflow), Metadata())["labels"]
    assert labels["workflow-name"] == "flytegen-my-pkg-wf-mytask"


def test_role_and_identity_of_the_execution() -> None:
    who = security_pb2.SecurityContext(
        run_as=security_pb2.Identity(iam_role="arn:aws:iam::1:role/r", execution_identity="user@example.com")
    )
    named = settings(role_annotation_key="eks.amazonaws.com/role-arn")
    found = object_metadata(task(security_context=who, settings_of=named), Metadata())
    assert found["annotations"]["eks.amazonaws.com/role-arn"] == "arn:aws:iam::1:role/r"
    assert found["labels"]["execution-identity"] == "user-example-com"
    assert (
        "arn:aws:iam::1:role/r" not in object_metadata(task(security_context=who), Metadata())["annotations"].values()
    )
