"""docker-compose.yml and deploy/ say what the services understand, and what is generated is up to date."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from flightlog_cli.generate import ROOT, generated
from flightlog_rpc import OWNERS

K8S = ROOT / "deploy" / "k8s"
SERVICES = ("registry", "execution", "k8s_launcher", "catalog", "scheduler")


def setting_names(model: type[BaseModel], prefix: str = "FLIGHTLOG_") -> Iterator[str]:
    """Names of the environment variables that a settings class reads."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from setting_names(annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def settings_class(service: str) -> Any:
    return importlib.import_module(f"services.{service}.settings").Settings


def known_names() -> set[str]:
    return {name for service in SERVICES for name in setting_names(settings_class(service))}


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def env_file(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def manifests() -> list[dict[str, Any]]:
    names = yaml.safe_load((K8S / "kustomization.yaml").read_text())["resources"]
    return [document for name in names for document in yaml.safe_load_all((K8S / name).read_text())]


def workload(name: str) -> dict[str, Any]:
    kinds = ("Deployment", "StatefulSet")
    (found,) = [m for m in manifests() if m["kind"] in kinds and m["metadata"]["name"] == name]
    return found["spec"]["template"]["spec"]["containers"][0]


def load_settings(service: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in environment.items():
        monkeypatch.setenv(name, re.sub(r"\$\{(\w+)[^}]*\}", "value", value))
    return settings_class(service)()


@pytest.mark.parametrize("service", SERVICES)
def test_compose_gives_each_service_settings_it_takes(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = compose()["services"][service.replace("_", "-")]
    assert definition["command"] == [f"services.{service}"]
    environment = definition["environment"]
    assert environment.keys() <= set(setting_names(settings_class(service)))
    settings = load_settings(service, environment, monkeypatch)
    assert settings.blobs.driver == "s3"
    assert settings.log.nats_url.startswith("nats://nats:")


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_gives_each_service_settings_it_takes(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    container = workload(service.replace("_", "-"))
    assert container["args"] == [f"services.{service}"]
    assert {source[kind]["name"] for source in container["envFrom"] for kind in source} == {
        "flightlog-settings",
        "flightlog-secrets",
    }
    own = {entry["name"]: entry["value"] for entry in container["env"]}
    shared = env_file(K8S / "settings.env") | env_file(K8S / "secrets.env.example")
    ours = {name: value for name, value in (shared | own).items() if name.startswith("FLIGHTLOG_")}
    assert ours.keys() <= known_names()
    settings = load_settings(service, ours, monkeypatch)
    assert settings.log.replicas == 3


def test_secrets_are_in_no_committed_file() -> None:
    assert all(
        not value or " " in value or "localhost" in value for value in env_file(K8S / "secrets.env.example").values()
    )
    assert not [
        value for name, value in env_file(ROOT / "deploy" / "compose.env.example").items() if "PASS" in name and value
    ]


def test_kubernetes_secrets_that_are_used_are_in_the_example() -> None:
    used = set(
        re.findall(
            r"secretKeyRef: \{ name: flightlog-secrets, key: (\w+) \}",
            "".join(path.read_text() for path in K8S.glob("*.yaml")),
        )
    )
    assert used
    assert used <= env_file(K8S / "secrets.env.example").keys()


def test_every_volume_and_config_map_of_kubernetes_exists() -> None:
    kustomization = yaml.safe_load((K8S / "kustomization.yaml").read_text())
    config_maps = {entry["name"] for entry in kustomization["configMapGenerator"]}
    for manifest in manifests():
        pod = manifest.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])}
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
        assert {v["configMap"]["name"] for v in pod.get("volumes", []) if "configMap" in v} <= config_maps


def test_edge_reaches_the_services_by_their_names() -> None:
    upstreams = re.findall(r"server (\S+):8089;", (K8S / "nginx.conf").read_text())
    names = {m["metadata"]["name"] for m in manifests() if m["kind"] == "Service"}
    assert set(upstreams) <= names
    assert set(upstreams) <= compose()["services"].keys()


def test_edge_sends_every_method_of_the_running_services_somewhere() -> None:
    text = (K8S / "nginx.conf").read_text()
    for method, owner in OWNERS.items():
        if owner in ("registry", "execution"):
            service, name = method.lstrip("/").split("/")
            pattern = (
                rf"location ~ \^/{re.escape(re.escape(service))}/\(([^)]*)\)\$ {{\s+grpc_pass grpc://flightlog_{owner};"
            )
            assert any(name in found.split("|") for found in re.findall(pattern, text)), method


@pytest.mark.parametrize("path", list(generated()), ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generated()[path], "run `make docs`"
