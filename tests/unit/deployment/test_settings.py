"""docker-compose.yml and deploy/ say what the services understand, and what is generated is up to date."""

from __future__ import annotations

import base64
import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from flightlog_cli.generate import ROOT, SERVING, generated
from flightlog_rpc.edge import PUBLIC
from services.k8s_launcher.kubernetes.cluster_resources.templates import objects, render, values_for

from .rendering import (
    COMPOSE_EXAMPLE,
    K8S,
    OVERLAYS,
    Manifest,
    compose_without_loader,
    env_file,
    named,
    of_kind,
    workloads,
)

SERVICES = (*SERVING, "k8s_launcher")


def setting_names(model: type[BaseModel], prefix: str = "FLIGHTLOG_") -> Iterator[str]:
    """Names of the environment variables that a settings class reads."""
    for name, field in model.model_fields.items():
        for annotation in (field.annotation, *get_args(field.annotation)):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from setting_names(annotation, f"{prefix}{name.upper()}__")
        yield f"{prefix}{name.upper()}"


def settings_class(service: str) -> Any:
    return importlib.import_module(f"services.{service}.settings").Settings


def known_names() -> set[str]:
    """Of the variables of all services."""
    return {name for service in SERVICES for name in setting_names(settings_class(service))}


def load_settings(service: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in list(os.environ):
        if name.startswith("FLIGHTLOG_"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings_class(service)()


def environment_of(manifests: list[Manifest], container: Manifest, pod: Mapping[str, str]) -> dict[str, str]:
    """Variables of a container, looked up as the kubelet does."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {})
        if "secretKeyRef" in source:
            secret = named(manifests, "Secret", source["secretKeyRef"]["name"])["data"]
            found[entry["name"]] = base64.b64decode(secret[source["secretKeyRef"]["key"]]).decode()
        elif "fieldRef" in source:
            found[entry["name"]] = pod[source["fieldRef"]["fieldPath"]]
        else:
            found[entry["name"]] = entry["value"]
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_compose_gives_each_service_settings_it_takes(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = compose_without_loader()["services"][service.replace("_", "-")]
    assert definition["command"] == [f"services.{service}"]
    environment = definition["environment"]
    assert environment.keys() <= set(setting_names(settings_class(service)))
    settings = load_settings(service, environment, monkeypatch)
    assert settings.blobs.driver == "s3"
    assert settings.log.nats_url.startswith("nats://nats:")
    assert settings.ready_file == Path("/tmp/ready")


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_gives_each_service_settings_it_takes(
    service: str, manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = workloads(manifests)[service.replace("_", "-")]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == [f"services.{service}"]
    environment = environment_of(manifests, container, {"metadata.namespace": "flightlog"})
    assert environment.keys() <= set(setting_names(settings_class(service)))
    settings = load_settings(service, environment, monkeypatch)
    nats = next(m for m in manifests if m["kind"] == "StatefulSet" and m["metadata"]["name"] == "nats")
    assert settings.log.replicas == nats["spec"]["replicas"]
    assert settings.telemetry.metrics_port in {port["containerPort"] for port in container["ports"]}
    if service in SERVING:
        assert settings.rpc.port in {port["containerPort"] for port in container["ports"]}


def test_the_launcher_of_kubernetes_makes_pods(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = workloads(manifests)["k8s-launcher"]["spec"]["containers"]
    environment = environment_of(manifests, container, {"metadata.namespace": "flightlog"})
    settings = load_settings("k8s_launcher", environment, monkeypatch)
    chosen = settings.kubernetes
    assert settings.launcher.runtime == "kubernetes"
    assert chosen.own_namespace == "flightlog"
    assert settings.task_base()["FLYTE_PLATFORM_URL"]
    assert chosen.raw_containers.image == container["image"]
    assert container["image"] == workloads(manifests)["registry"]["spec"]["containers"][0]["image"]


def test_templates_make_a_namespace_first(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are rendered as the launcher does it, with the values that it is given."""
    pod = workloads(manifests)["k8s-launcher"]["spec"]
    (container,) = pod["containers"]
    environment = environment_of(manifests, container, {"metadata.namespace": "flightlog"})
    resources = load_settings("k8s_launcher", environment, monkeypatch).kubernetes.cluster_resources
    assert resources.enabled
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == str(resources.directory)]
    (volume,) = [v for v in pod["volumes"] if v["name"] == mount["name"]]
    files = named(manifests, "ConfigMap", volume["configMap"]["name"])["data"]
    values = {name: environment[source.env] for name, source in resources.values.items()}
    made = [
        found
        for file in sorted(files)
        for found in objects(render(files[file], values_for("p", "d", "p-d", values, {})))
    ]
    assert [(one["kind"], one["metadata"]["name"]) for one in made[:1]] == [("Namespace", "p-d")]
    assert not [one for one in made if one["kind"] == "Secret"]


def test_tasks_have_the_object_stores_keys_from_a_secret_that_the_launcher_may_make(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are in no pod's text, and the role is for that one secret."""
    (container,) = workloads(manifests)["k8s-launcher"]["spec"]["containers"]
    environment = environment_of(manifests, container, {"metadata.namespace": "flightlog"})
    settings = load_settings("k8s_launcher", environment, monkeypatch)
    assert settings.task_defaults() == {"FLYTE_AWS_ENDPOINT": settings.blobs.endpoint}
    raw = settings.kubernetes.raw_containers
    assert set(settings.task_secrets().values()) == set(raw.keys)
    assert raw.keep_credentials_secret
    (rule,) = [
        rule
        for role in of_kind(manifests, "ClusterRole", "Role")
        for rule in role["rules"]
        if "secrets" in rule["resources"]
    ]
    assert rule["resourceNames"] == [raw.credentials_secret]
    assert sorted(rule["verbs"]) == ["create", "patch"]


def test_secrets_are_in_no_committed_file() -> None:
    examples = [*K8S.glob("overlays/*/secrets/*.env.example"), COMPOSE_EXAMPLE]
    assert len(examples) >= 3 * len(OVERLAYS) + 1
    for example in examples:
        for name, value in env_file(example).items():
            assert not value or value.startswith("http") or name == "LISTEN" or "PASSWORD@" in value, (example, name)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "deploy/k8s/overlays/*/secrets/*.env" in ignored
    assert ".env" in ignored


def test_only_tools_of_the_database_have_its_secret(manifests: list[Manifest]) -> None:
    having = {
        name
        for name, pod in workloads(manifests).items()
        for container in pod["spec"]["containers"]
        for entry in container.get("env", [])
        if "flightlog-database" in str(entry.get("valueFrom", {}))
    }
    assert having - {"postgres"} == set(SERVING)


def test_grafana_knows_the_addresses_of_compose() -> None:
    provisioned = ROOT / "deploy" / "grafana" / "provisioning"
    services = compose_without_loader()["services"]
    sources = yaml.safe_load((provisioned / "datasources" / "flightlog.yaml").read_text())["datasources"]
    by_type = {source["type"]: source for source in sources}
    assert by_type["prometheus"]["url"] == "http://prometheus:9090"
    assert by_type["grafana-postgresql-datasource"]["url"] == "postgres:5432"
    assert {"prometheus", "postgres"} <= services.keys()
    assert "POSTGRES_READER_PASSWORD" in services["grafana"]["environment"]
    (provider,) = yaml.safe_load((provisioned / "dashboards" / "flightlog.yaml").read_text())["providers"]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    (folder,) = [
        volume.split(":")[0] for volume in services["grafana"]["volumes"] if f":{PurePath(home).parent}:" in volume
    ]
    assert (ROOT / folder / PurePath(home).name).is_file()


def test_prometheus_asks_every_service_of_compose() -> None:
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    targets = {target for group in scraped["static_configs"] for target in group["targets"]}
    services = compose_without_loader()["services"]
    assert targets == {
        f"{name}:{definition['environment']['FLIGHTLOG_TELEMETRY__METRICS_PORT']}"
        for name, definition in services.items()
        if "FLIGHTLOG_TELEMETRY__METRICS_PORT" in definition.get("environment", {})
    }
    assert len(targets) == len(SERVICES)


def test_the_public_service_is_among_those_that_serve() -> None:
    assert PUBLIC in SERVING


@pytest.mark.parametrize("path", list(generated()), ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generated()[path], "run `make docs`"
