"""Queues of Kueue and Volcano in attempts' objects (k8s-contract §8, T114, T117)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from services.k8s_launcher.kubernetes.objects import Built, Object, Task
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from services.k8s_launcher.kubernetes.pods.amounts import pod_amounts
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.kubernetes.queueing import queued
from services.k8s_launcher.kubernetes.queueing.pod_sets import pod_sets
from services.k8s_launcher.kubernetes.queueing.settings import QueueingSettings
from tests.unit.kubernetes.plugins import serialised
from tests.unit.kubernetes.pods import tasks

QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"
VOLCANO_QUEUE = "scheduling.volcano.sh/queue-name"
GROUP = "scheduling.k8s.io/group-name"
RULES = [
    {"project": "other", "queue": "others"},
    {"project": "p", "domain": "d*", "queue": "research", "priority_class": "high"},
    {"queue": "rest"},
]
KINDS = {"kinds": ["Pod", "DaskJob"]}
SUSPENDABLE = {
    "RayJob": ("ray_plain", ("suspend",)),
    "PyTorchJob": ("pytorch_plain", ("runPolicy", "suspend")),
    "TFJob": ("tensorflow_groups", ("runPolicy", "suspend")),
    "MPIJob": ("mpi_groups", ("runPolicy", "suspend")),
}


def _task(name: str | None = None, **fields: Any) -> Task:
    """An attempt of a task of an operator, or of a plain one, with settings of queues."""
    queueing = fields.pop("queueing", {})
    template = serialised.template(name) if name else tasks.template()
    return tasks.task(template, settings_of=serialised.settings(queueing=queueing), **fields)


def _built(task: Task) -> Built:
    operators = {kind: each.plugin for each in OPERATORS for kind in each.task_types}
    plugin = operators.get(task.template.type)
    return queued(plugin.build(task) if plugin else build_pod(task), task)


def _object(name: str | None = None, **fields: Any) -> Object:
    return _built(_task(name, **fields)).manifest


def test_nothing_changes_without_settings() -> None:
    task = _task("ray_plain", queueing={"rules": RULES})
    assert queued(serialised.plugin_of("ray").build(task), task) == serialised.plugin_of("ray").build(task)


@pytest.mark.parametrize("name", [None, *(name for name, _ in SUSPENDABLE.values()), "dask_plain", "spark_groups"])
def test_queue_that_an_execution_names_is_on_its_object_and_all_its_pods(name: str | None) -> None:
    found = _object(name, labels={QUEUE: "mine"})
    assert found["metadata"]["labels"][QUEUE] == "mine"
    for each in pod_sets(found):
        assert each.metadata["labels"][QUEUE] == "mine"
    if name == "spark_groups":
        assert found["spec"]["driver"]["labels"][QUEUE] == found["spec"]["executor"]["labels"][QUEUE] == "mine"


@pytest.mark.parametrize("name", [None, *(name for name, _ in SUSPENDABLE.values())])
def test_first_rule_that_holds_gives_the_queue(name: str | None) -> None:
    labels = _object(name, queueing={"kind": "kueue", "rules": RULES})["metadata"]["labels"]
    assert (labels[QUEUE], labels[PRIORITY]) == ("research", "high")


def test_queue_of_the_user_goes_before_rules_and_brings_no_priority() -> None:
    labels = _object(labels={QUEUE: "mine"}, queueing={"kind": "kueue", "rules": RULES})["metadata"]["labels"]
    assert labels[QUEUE] == "mine"
    assert PRIORITY not in labels


def test_priority_of_the_user_goes_before_the_rules() -> None:
    labels = _object(labels={PRIORITY: "low"}, queueing={"kind": "kueue", "rules": RULES})["metadata"]["labels"]
    assert (labels[QUEUE], labels[PRIORITY]) == ("research", "low")


@pytest.mark.parametrize("name", ["dask_plain", "spark_groups"])
def test_kinds_that_nothing_admits_get_no_queue_unless_said(name: str) -> None:
    assert QUEUE not in _object(name, queueing={"kind": "kueue", "rules": RULES})["metadata"]["labels"]
    kinds = ["SparkApplication", "DaskJob"]
    found = _object(name, queueing={"kind": "kueue", "rules": RULES, "kinds": kinds})
    assert found["metadata"]["labels"][QUEUE] == "research"


@pytest.mark.parametrize("kind", SUSPENDABLE)
def test_objects_with_a_queue_start_suspended_if_wanted(kind: str) -> None:
    name, path = SUSPENDABLE[kind]

    def suspended(**fields: Any) -> Any:
        found: Any = _object(name, **fields)["spec"]
        for part in path:
            found = found.get(part, {})
        return found

    assert suspended(queueing={"kind": "kueue", "rules": RULES, "suspend": True}) is True
    assert suspended(labels={QUEUE: "mine"}, queueing={"kind": "kueue", "suspend": True}) is True
    assert suspended(queueing={"kind": "kueue", "suspend": True}) == {}
    assert suspended(queueing={"kind": "kueue", "rules": RULES}) == {}


def test_pods_cannot_be_suspended() -> None:
    found = _object(queueing={"kind": "kueue", "rules": RULES, "suspend": True})
    assert "suspend" not in found["spec"]
    assert "schedulingGates" not in found["spec"]


def test_pod_goes_to_volcano() -> None:
    found = _built(_task(queueing={"kind": "volcano", "rules": RULES}))
    assert found.manifest["spec"]["schedulerName"] == "volcano"
    assert found.manifest["spec"]["priorityClassName"] == "high"
    assert found.manifest["metadata"]["annotations"][VOLCANO_QUEUE] == "research"
    assert list(found.before) == []


@pytest.mark.parametrize("name", [None, "dask_plain"])
def test_scheduler_that_the_api_server_writes_into_pod_templates_is_nobodys_choice(name: str | None) -> None:
    template = {"spec": {"schedulerName": "default-scheduler"}}
    found = _built(_task(name, pod_template=template, queueing=KINDS | {"kind": "volcano", "rules": RULES}))
    assert {each.spec["schedulerName"] for each in pod_sets(found.manifest)} == {"volcano"}


def test_what_a_pod_template_says_of_volcano_is_kept() -> None:
    template = {
        "metadata": {"annotations": {VOLCANO_QUEUE: "mine", GROUP: "my-group"}},
        "spec": {"schedulerName": "my-volcano", "priorityClassName": "low"},
    }
    queueing = {"kind": "volcano", "rules": RULES, "pod_groups": ["Pod"]}
    found = _built(_task(pod_template=template, queueing=queueing))
    annotations = found.manifest["metadata"]["annotations"]
    assert (annotations[VOLCANO_QUEUE], annotations[GROUP]) == ("mine", "my-group")
    assert found.manifest["spec"]["schedulerName"] == "my-volcano"
    assert found.manifest["spec"]["priorityClassName"] == "low"
    assert list(found.before) == []


def test_volcano_without_a_queue_is_left_alone() -> None:
    task = _task(queueing={"kind": "volcano", "rules": RULES[:1]})
    assert _built(task).manifest == build_pod(task).manifest


def test_queue_and_priority_of_an_executions_labels() -> None:
    labels = {"volcano.sh/queue-name": "mine", "flightlog.dev/priority-class": "low"}
    found = _object(labels=labels, queueing={"kind": "volcano", "rules": RULES})
    assert found["metadata"]["annotations"][VOLCANO_QUEUE] == "mine"
    assert found["spec"]["priorityClassName"] == "low"


def test_group_of_one_pod() -> None:
    task = _task(queueing={"kind": "volcano", "rules": RULES, "pod_groups": ["Pod"]})
    found = _built(task)
    ((kind, group),) = found.before
    assert kind.path("p-d", tasks.NAME) == f"/apis/scheduling.volcano.sh/v1beta1/namespaces/p-d/podgroups/{tasks.NAME}"
    assert group["spec"] == {
        "minMember": 1,
        "queue": "research",
        "priorityClassName": "high",
        "minResources": {"cpu": "100m", "memory": "524288k"},
    }
    assert group["metadata"]["labels"]["execution-id"] == tasks.EXECUTION
    assert found.manifest["metadata"]["annotations"][GROUP] == tasks.NAME


@pytest.mark.parametrize("name", ["pytorch_plain", "tensorflow_groups", "mpi_groups"])
def test_training_operator_is_told_the_queue(name: str) -> None:
    found = _built(_task(name, queueing={"kind": "volcano", "rules": RULES}))
    assert found.manifest["spec"]["runPolicy"]["schedulingPolicy"] == {"queue": "research", "priorityClass": "high"}
    assert list(found.before) == []
    assert all("schedulerName" not in each.spec for each in pod_sets(found.manifest))


def test_gang_of_a_job() -> None:
    queueing = {"kind": "volcano", "rules": RULES, "pod_groups": ["PyTorchJob"]}
    found = _built(_task("pytorch_plain", queueing=queueing))
    ((_, group),) = found.before
    assert group["spec"]["minMember"] == 3
    assert group["spec"]["minResources"]["nvidia.com/gpu"] == "3"
    assert group["spec"]["minResources"]["cpu"] == "12"
    for each in pod_sets(found.manifest):
        assert each.spec["schedulerName"] == "volcano"
        assert each.metadata["annotations"][GROUP] == tasks.NAME


def test_kuberay_is_told_by_labels() -> None:
    found = _built(_task("ray_plain", queueing={"kind": "volcano", "rules": RULES}))
    labels = found.manifest["metadata"]["labels"]
    assert labels["volcano.sh/queue-name"] == "research"
    assert labels["ray.io/priority-class-name"] == "high"
    assert labels["ray.io/scheduler-name"] == "volcano"


def test_submitter_is_not_in_the_gang_of_a_ray_cluster() -> None:
    queueing = {"kind": "volcano", "rules": RULES, "pod_groups": ["RayJob"]}
    found = _built(_task("ray_groups", queueing=queueing))
    ((_, group),) = found.before
    # A head and the one worker without which the autoscaler does not begin.
    assert group["spec"]["minMember"] == 2
    assert group["spec"]["minResources"]["cpu"] == "6"
    grouped = {each.name: GROUP in each.metadata["annotations"] for each in pod_sets(found.manifest)}
    assert grouped == {"head": True, "gpus": True, "submitter": False}


def test_spark_operator_is_told_by_its_options() -> None:
    kinds = ["SparkApplication"]
    spec = _object("spark_groups", queueing={"kind": "volcano", "rules": RULES, "kinds": kinds})["spec"]
    assert spec["batchScheduler"] == "volcano"
    assert spec["batchSchedulerOptions"] == {"queue": "research", "priorityClassName": "high"}


def test_pods_of_dask_go_to_volcano_with_scheduler_and_workers_as_a_gang() -> None:
    queueing = {"kind": "volcano", "rules": RULES, "kinds": ["DaskJob"], "pod_groups": ["DaskJob"]}
    found = _built(_task("dask_groups", queueing=queueing))
    ((_, group),) = found.before
    assert group["spec"]["minMember"] == 3
    grouped = {each.name: GROUP in each.metadata["annotations"] for each in pod_sets(found.manifest)}
    assert grouped == {"scheduler": True, "worker": True, "runner": False}
    assert {each.spec["schedulerName"] for each in pod_sets(found.manifest)} == {"volcano"}


def test_what_comes_in_is_left_as_it_is() -> None:
    task = _task("pytorch_plain", queueing={"kind": "volcano", "rules": RULES, "pod_groups": ["PyTorchJob"]})
    made = serialised.plugin_of("pytorch").build(task)
    before = copy.deepcopy(made.manifest)
    queued(made, task)
    assert made.manifest == before


def _container(cpu: str, **fields: Any) -> Object:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **fields}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [_container("1"), _container("500m")]}, "1.5"),
        ({"containers": [_container("1")], "initContainers": [_container("3"), _container("2")]}, "3"),
        ({"containers": [_container("1")], "initContainers": [_container("1", restartPolicy="Always")]}, "2"),
        (
            {
                "containers": [_container("1")],
                "initContainers": [_container("2", restartPolicy="Always"), _container("4")],
            },
            "6",
        ),
        ({"containers": [_container("1")], "overhead": {"cpu": "250m"}}, "1.25"),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}, "2"),
        ({"containers": [{"name": "c"}]}, "0"),
    ],
)
def test_what_a_pod_counts_as(spec: Object, cpu: str) -> None:
    assert float(pod_amounts(spec, "requests").get("cpu", 0)) == float(cpu)


def test_rules_are_patterns() -> None:
    settings = QueueingSettings.model_validate({"rules": [{"project": "team-*", "queue": "q"}]})
    assert settings.rules[0].holds("team-a", "development")
    assert not settings.rules[0].holds("other", "development")


def test_scheduler_of_the_settings_and_annotations_of_a_pod_template_suffice_for_volcano() -> None:
    template = {"metadata": {"annotations": {VOLCANO_QUEUE: "mine"}}, "spec": {}}
    settings = serialised.settings(pods={"scheduler_name": "volcano"})
    task = tasks.task(tasks.template(), settings_of=settings, pod_template=template)
    found = _built(task).manifest
    assert found["spec"]["schedulerName"] == "volcano"
    assert found["metadata"]["annotations"][VOLCANO_QUEUE] == "mine"


def test_next_attempt_is_in_the_same_queue() -> None:
    first, second = (_object(labels={QUEUE: "mine"}, attempt=attempt) for attempt in (0, 1))
    assert first["metadata"]["labels"][QUEUE] == second["metadata"]["labels"][QUEUE] == "mine"
    assert first["metadata"]["name"] != second["metadata"]["name"]
