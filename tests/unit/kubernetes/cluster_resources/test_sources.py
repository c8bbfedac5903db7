"""Templates and values as they are on disk and in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.k8s_launcher.kubernetes.cluster_resources.settings import ClusterResourceSettings
from services.k8s_launcher.kubernetes.cluster_resources.sources import Unreadable, read_sources
from services.k8s_launcher.kubernetes.cluster_resources.templates import BUILT_IN


def settings(**given: Any) -> ClusterResourceSettings:
    return ClusterResourceSettings.model_validate({"domains": ["a", "b"], **given})


def test_templates_are_the_yaml_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "c.yml", "README.md"):
        (tmp_path / name).write_text(f"of {name}")
    read = read_sources(settings(directory=tmp_path))
    assert list(read.templates.items()) == [("a.yaml", "of a.yaml"), ("b.yaml", "of b.yaml")]


def test_without_a_folder_there_are_the_built_in_ones() -> None:
    assert read_sources(settings()).templates == BUILT_IN


def test_values_come_from_settings_environment_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLE_OF_TASKS", "arn:role")
    file = tmp_path / "token"
    file.write_text("secret\n")
    read = read_sources(
        settings(
            values={"cpu": "4", "memory": {"value": "1Gi"}, "role": {"env": "ROLE_OF_TASKS"}, "token": {"file": file}},
            domain_values={"b": {"cpu": 16}},
        )
    )
    assert read.values["a"] == {"cpu": "4", "memory": "1Gi", "role": "arn:role", "token": "secret"}
    assert read.values["b"] == {**read.values["a"], "cpu": "16"}


@pytest.mark.parametrize(
    "given",
    [
        {"directory": "/nowhere/at/all"},
        {"values": {"x": {"env": "FLIGHTLOG_TEST_NOT_SET"}}},
        {"values": {"x": {"file": "/nowhere"}}},
    ],
)
def test_what_cannot_be_read_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match=r"/nowhere|FLIGHTLOG_TEST_NOT_SET is not set"):
        read_sources(settings(**given))


@pytest.mark.parametrize("given", [{}, {"value": "a", "env": "B"}, {"valueFrom": {"env": "B"}}, True, 0.5])
def test_a_value_has_exactly_one_source(given: Any) -> None:
    with pytest.raises(ValidationError):
        settings(values={"x": given})
