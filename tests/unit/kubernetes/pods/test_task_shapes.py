"""The forms in which tasks describe their pods (k8s-contract §1.5), and what nodes put in their place."""

from __future__ import annotations

import pytest
from flyteidl.core import literals_pb2, tasks_pb2

from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.pods.tasks import NAME, container, pod, pod_task, settings, task, template, variables

MAIN = {"name": "primary", "image": "i", "args": ["run"]}
SIDE = {"name": "side", "image": "j"}


def built(made: Task) -> Object:
    return build_pod(made).manifest


def primary_of(manifest: Object) -> str | None:
    return manifest["metadata"]["annotations"].get("primary_container_name")


def names(manifest: Object) -> list[str]:
    return [each["name"] for each in manifest["spec"]["containers"]]


def test_first_sidecars_have_all_in_their_custom_fields() -> None:
    custom = {
        "podSpec": {"containers": [MAIN, SIDE], "hostname": "h"},
        "primaryContainerName": "primary",
        "labels": {"l": "1"},
        "annotations": {"a": "2"},
    }
    made = built(task(template(type="sidecar", custom=custom)))
    assert names(made) == ["primary", "side"]
    assert made["spec"]["hostname"] == "h"
    assert primary_of(made) == "primary"
    assert (made["metadata"]["labels"]["l"], made["metadata"]["annotations"]["a"]) == ("1", "2")


def test_second_sidecars_are_their_pod() -> None:
    made = template(
        type="sidecar",
        task_type_version=1,
        custom={"containers": [MAIN, SIDE]},
        config={"primary_container_name": "side"},
    )
    assert primary_of(built(task(made))) == "side"


def test_third_sidecars_are_like_all_pods_but_end_with_their_primary_container() -> None:
    made = pod_task(MAIN, SIDE, type="sidecar", task_type_version=2)
    assert primary_of(built(task(made))) == "primary"
    assert primary_of(built(task(pod_task(MAIN, SIDE)))) is None
    assert primary_of(built(task(pod_task(MAIN)))) == "primary"


@pytest.mark.parametrize("custom", [{"primaryContainerName": "primary"}, {"podSpec": "text"}])
def test_first_sidecar_without_a_pod_is_refused(custom: Object) -> None:
    with pytest.raises(NotLaunchable, match="podSpec"):
        build_pod(task(template(type="sidecar", custom=custom)))


def test_first_sidecar_without_a_primary_container_is_refused() -> None:
    with pytest.raises(NotLaunchable, match="no container ''"):
        build_pod(task(template(type="sidecar", custom={"podSpec": {"containers": [MAIN]}})))


def test_raw_containers_end_when_all_their_containers_have() -> None:
    made = template(type="raw-container", container=container("run"))
    assert primary_of(built(task(made))) is None


def test_unknown_type_with_a_container_is_a_pod() -> None:
    assert primary_of(built(task(template(type="foo")))) == NAME


def test_containers_of_pods_keep_their_own_names_and_policies() -> None:
    own = {**MAIN, "terminationMessagePolicy": "File", "imagePullPolicy": "Never"}
    made = built(task(pod_task(own, SIDE), settings_of=settings(image_pull_policy="Always")))
    main, side = made["spec"]["containers"]
    assert (main["terminationMessagePolicy"], main["imagePullPolicy"]) == ("File", "Never")
    assert "terminationMessagePolicy" not in side
    assert "imagePullPolicy" not in side


def test_image_pull_policy_is_for_single_containers() -> None:
    made = built(task(settings_of=settings(image_pull_policy="IfNotPresent")))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert "imagePullPolicy" not in built(task())["spec"]["containers"][0]


def test_ports_of_containers_are_not_heeded() -> None:
    of = container("run")
    of.ports.add(container_port=80)
    assert "ports" not in built(task(template(container=of)))["spec"]["containers"][0]


def test_whole_numbers_of_pods_are_integers_and_what_is_null_is_not_there() -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 5}
    made = built(task(pod_task({**MAIN, "readinessProbe": probe, "workingDir": None}, spec={"priority": None})))
    main = made["spec"]["containers"][0]
    assert main["readinessProbe"] == probe
    assert isinstance(main["readinessProbe"]["httpGet"]["port"], int)
    assert "workingDir" not in main
    assert "priority" not in made["spec"]


@pytest.mark.parametrize("own", [template(container=container(env={"MINE": "1"})), pod_task(SIDE, primary="side")])
def test_nodes_pod_takes_the_tasks_place(own: tasks_pb2.TaskTemplate) -> None:
    over = pod(
        {"name": "other", "image": "k", "args": ["{{.outputPrefix}}"], "env": [{"name": "THEIRS", "value": "2"}]},
        primary="other",
        labels={"l": "1"},
        nodeSelector={"disk": "ssd"},
    )
    made = built(task(own, node_pod=over))
    assert names(made) == ["other"]
    assert made["spec"]["containers"][0]["args"] == ["s3://b/meta/n0/data/0"]
    found = variables(made["spec"]["containers"][0])
    assert found["THEIRS"] == "2"
    assert "MINE" not in found
    assert made["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert made["metadata"]["labels"]["l"] == "1"
    assert primary_of(made) == "other"


def test_nodes_pod_without_a_specification_changes_nothing() -> None:
    over = tasks_pb2.K8sPod(metadata=tasks_pb2.K8sObjectMetadata(labels={"l": "1"}))
    assert names(built(task(node_pod=over))) == [NAME]


def test_commands_of_all_containers_are_rendered() -> None:
    made = pod_task(
        {"name": "primary", "image": "i", "command": ["sh", "{{.input}}"]},
        {"name": "side", "image": "j", "args": ["{{.outputPrefix}}"]},
        spec={"initContainers": [{"name": "early", "image": "k", "args": ["{{.rawOutputDataPrefix}}"]}]},
    )
    spec = built(task(made))["spec"]
    assert spec["containers"][0]["command"] == ["sh", "s3://b/meta/n0/data/inputs.pb"]
    assert spec["containers"][1]["args"] == ["s3://b/meta/n0/data/0"]
    assert spec["initContainers"][0]["args"] == [f"s3://b/raw/gl/{NAME}"]


def test_values_in_commands_are_no_references_to_variables() -> None:
    """Kubernetes replaces `$(NAME)` by a variable and `$$` by `$`, wherever they come from."""
    value = literals_pb2.Literal()
    value.scalar.primitive.string_value = "pa$$word $(FLYTE_AWS_SECRET_ACCESS_KEY) $"
    made = template(container=container("$(MINE)", "{{.inputs.x}}"))
    args = built(task(made, inputs={"x": value}))["spec"]["containers"][0]["args"]
    assert args == ["$(MINE)", "pa$$$$word $$(FLYTE_AWS_SECRET_ACCESS_KEY) $$"]


def test_command_of_a_template_is_not_rendered() -> None:
    under = {"spec": {"containers": [{"name": "default", "args": ["{{.input}}"]}]}}
    assert built(task(pod_template=under))["spec"]["containers"][0]["args"] == ["{{.input}}", "run"]
