"""Variables of containers and their order (k8s-contract §1.7)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.k8s_launcher.kubernetes.objects import Object, SecretEntry, Task
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from tests.unit.kubernetes.pods.tasks import EXECUTION, container, pod_task, settings, task, template, variables

FIELD = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


def containers(made: Task, kind: str = "containers") -> list[Object]:
    return build_pod(made).manifest["spec"][kind]


def names(of: Object) -> list[str]:
    return [entry["name"] for entry in of["env"]]


def test_every_container_has_them_after_its_own() -> None:
    made = pod_task(
        {"name": "primary", "image": "i", "env": [FIELD, {"name": "MINE", "value": "1"}]},
        {"name": "side", "image": "j"},
        spec={"initContainers": [{"name": "early", "image": "k"}]},
    )
    attempt = task(made, envs={"B": "2", "A": "1"})
    primary, side = containers(attempt)
    (early,) = containers(attempt, "initContainers")
    assert primary["env"][:2] == [FIELD, {"name": "MINE", "value": "1"}]
    assert names(primary)[2:] == names(side) == names(early)
    assert names(side)[-2:] == ["A", "B"]
    assert variables(early)["FLYTE_INTERNAL_EXECUTION_ID"] == EXECUTION


def test_order_among_the_operators() -> None:
    attempt = task(
        template(container=container(env={"MINE": "1"})),
        envs={"RUN": "1"},
        settings_of=settings(default_env_vars={"Z": "1", "A": "1"}),
        environment={"LAST": "1"},
        base_environment={"FIRST": "1"},
    )
    found = [name for name in names(containers(attempt)[0]) if not name.startswith("FLYTE_")]
    assert found == ["FIRST", "MINE", "RUN", "A", "Z", "LAST"]


def test_values_of_secrets_come_last_and_are_in_no_text() -> None:
    keys = {"KEY": SecretEntry("store", "secret-key"), "SAID": SecretEntry("store", "other")}
    attempt = task(
        template(container=container(env={"KEY": "1"})),
        envs={"KEY": "2"},
        settings_of=settings(default_env_vars={"KEY": "3"}),
        environment={"SAID": "by the operator"},
        secret_environment=keys,
    )
    env = containers(attempt)[0]["env"]
    assert env[0] == {"name": "KEY", "value": "1"}, "the task's own, which the last takes the place of"
    assert env[-1] == {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "store", "key": "secret-key"}}}
    assert [entry for entry in env if entry["name"] == "SAID"] == [{"name": "SAID", "value": "by the operator"}]


def test_a_tasks_own_name_for_what_flyte_sets_loses() -> None:
    made = template(container=container(env={"FLYTE_ATTEMPT_NUMBER": "99"}))
    assert variables(containers(task(made, attempt=3))[0])["FLYTE_ATTEMPT_NUMBER"] == "3"


def test_variables_of_the_launcher_are_as_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHERS_OWN", "here")
    configured = settings(default_env_vars_from_env={"TASKS": "LAUNCHERS_OWN"})
    monkeypatch.delenv("LAUNCHERS_OWN")
    assert variables(containers(task(settings_of=configured))[0])["TASKS"] == "here"


def test_variable_that_the_launcher_lacks_is_an_error_of_the_settings() -> None:
    with pytest.raises(ValidationError, match="no variable NOBODY_HAS_THIS"):
        settings(default_env_vars_from_env={"TASKS": "NOBODY_HAS_THIS"})


def test_secrets_and_config_maps_of_all_containers_may_be_missing() -> None:
    configured = settings(default_env_from_secrets=["keys"], default_env_from_configmaps=["map"])
    own = {"configMapRef": {"name": "own"}}
    made = pod_task({"name": "primary", "image": "i", "envFrom": [own]})
    assert containers(task(made, settings_of=configured))[0]["envFrom"] == [
        own,
        {"secretRef": {"name": "keys", "optional": True}},
        {"configMapRef": {"name": "map", "optional": True}},
    ]


def test_variables_of_templates_keep_their_sources_and_go_before_the_tasks() -> None:
    under = {"spec": {"containers": [{"name": "default", "env": [FIELD]}]}}
    made = template(container=container(env={"MINE": "1"}))
    (main,) = containers(task(made, pod_template=under))
    assert main["env"][:2] == [FIELD, {"name": "MINE", "value": "1"}]


@pytest.mark.parametrize(("config", "told"), [({"link_type": "vscode"}, True), ({}, False)])
def test_address_in_the_console_is_for_tasks_with_links_that_need_it(config: dict[str, str], told: bool) -> None:
    configured = settings(console_url="https://console.example.com/console/")
    found = variables(containers(task(template(config=config), settings_of=configured))[0])
    assert found.get("FLYTE_EXECUTION_URL") == (
        f"https://console.example.com/console/projects/p/domains/d/executions/{EXECUTION}/nodeId/n0/nodes"
        if told
        else None
    )
