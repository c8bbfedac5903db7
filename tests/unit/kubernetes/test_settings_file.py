"""Settings of the Kubernetes runtime from a file and from variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.k8s_launcher.kubernetes.settings import KubernetesSettings

FILE = """\
own_namespace: from-file
pods:
  default_labels: {team: file, cost-centre: "7"}
  default_tolerations:
    - {key: dedicated, operator: Equal, value: flyte, effect: NoSchedule}
  resource_tolerations:
    nvidia.com/gpu:
      - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  accelerator_mapping:
    - {device: nvidia-tesla-a100, partition_size: 1g.5gb, resource_name: nvidia.com/mig-1g.5gb}
task_resources:
  defaults: {cpu: 250m}
  limits: {gpu: "8"}
status:
  image_pull_backoff_grace: PT10M
"""


class Loaded(BaseSettings):
    """The settings as a service reads them."""

    model_config = SettingsConfigDict(env_prefix="FLIGHTLOG_", env_nested_delimiter="__")

    kubernetes: KubernetesSettings = KubernetesSettings.model_validate({})


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def loaded(text: str, **variables: str) -> KubernetesSettings:
        path = tmp_path / "kubernetes.yaml"
        path.write_text(text)
        monkeypatch.setenv("FLIGHTLOG_KUBERNETES__FILE", str(path))
        for name, value in variables.items():
            monkeypatch.setenv(f"FLIGHTLOG_KUBERNETES__{name}", value)
        return Loaded().kubernetes

    return loaded


def test_file_gives_what_it_names_and_the_rest_is_as_usual(load: Any) -> None:
    found = load(FILE)
    assert found.own_namespace == "from-file"
    assert found.pods.default_tolerations[0]["value"] == "flyte"
    assert found.pods.resource_tolerations["nvidia.com/gpu"][0]["operator"] == "Exists"
    assert found.pods.accelerator_mapping[0].resource_name == "nvidia.com/mig-1g.5gb"
    assert (found.task_resources.defaults.cpu, found.task_resources.limits.gpu) == ("250m", "8")
    assert found.status.image_pull_backoff_grace.total_seconds() == 600
    assert found.pods.gpu_resource_name == "nvidia.com/gpu"
    assert found.namespace_template == "{project}-{domain}"


def test_variables_win_over_the_file_one_by_one(load: Any) -> None:
    found = load(
        FILE,
        OWN_NAMESPACE="from-variable",
        PODS__DEFAULT_LABELS='{"team": "variable"}',
        PODS__DEFAULT_TOLERATIONS='[{"key": "other", "operator": "Exists"}]',
        TASK_RESOURCES__LIMITS__CPU="4",
    )
    assert found.own_namespace == "from-variable"
    assert found.pods.default_labels == {"team": "variable", "cost-centre": "7"}
    assert [each["key"] for each in found.pods.default_tolerations] == ["other"]
    assert (found.task_resources.limits.cpu, found.task_resources.limits.gpu) == ("4", "8")


def test_empty_file_says_nothing(load: Any) -> None:
    assert load("").own_namespace == KubernetesSettings.model_validate({}).own_namespace


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pods: {default_toleration: []}", "default_toleration"),
        ("- a list", "must be a mapping of settings, not a list"),
        ("a: [", "kubernetes.yaml"),
        ("task_resources: {limits: {cpu: many}}", "quantities must match"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(load: Any, text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        load(text)


def test_file_that_is_not_there_is_an_error(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIGHTLOG_KUBERNETES__FILE", "/nowhere/kubernetes.yaml")
    with pytest.raises(ValidationError, match=r"/nowhere/kubernetes\.yaml"):
        Loaded()


def test_amounts_may_be_numbers(load: Any) -> None:
    found = load("task_resources: {defaults: {cpu: 0.5}, limits: {cpu: 2, gpu: 8}}\nraw_containers: {cpu: 1}\n")
    assert (found.task_resources.defaults.cpu, found.task_resources.limits.cpu) == ("0.5", "2")
    assert (found.task_resources.limits.gpu, found.raw_containers.cpu) == ("8", "1")
    with pytest.raises(ValidationError, match=r"limits\.cpu"):
        load("task_resources: {limits: {cpu: true}}\n")


@pytest.mark.parametrize(
    "template", ["{project}-{domain}", "{domain}", "tasks", "{project}-{domain}-{{x", "{{ project }}-{{ domain }}"]
)
def test_namespaces_of_the_settings_are_ones(load: Any, template: str) -> None:
    if "{{" not in template:
        assert load("", NAMESPACE_TEMPLATE=template).namespace_template == template
        return
    with pytest.raises(ValidationError, match="namespace"):
        load("", NAMESPACE_TEMPLATE=template)


@pytest.mark.parametrize("template", ["{project}-{org}", "{}", "{project.x}", "{project", "Tasks_{domain}", ""])
def test_namespace_that_no_execution_could_have_is_refused_at_the_start(load: Any, template: str) -> None:
    with pytest.raises(ValidationError, match="namespace"):
        load("", NAMESPACE_TEMPLATE=template)
