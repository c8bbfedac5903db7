"""What the pods of every overlay have: probes, limits, no more rights than they need; and what survives a drain."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from flightlog_cli.generate import NGINX, ROOT

from .rendering import Manifest, compose_without_loader, named, of_kind, workloads

SERVICES = {"registry", "execution", "catalog", "scheduler", "history", "k8s-launcher"}


def containers(template: Manifest) -> list[dict[str, Any]]:
    return [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]


def selected(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert not selector.get("matchExpressions")
    return selector.get("matchLabels", {}).items() <= labels.items()


def test_the_workloads_of_an_installation(manifests: list[Manifest]) -> None:
    assert workloads(manifests).keys() >= {*SERVICES, "nats"}
    assert {m["metadata"]["namespace"] for m in manifests if m["kind"] in ("Deployment", "StatefulSet")} == {
        "flightlog"
    }


def test_probes_ask_what_the_container_serves(manifests: list[Manifest]) -> None:
    for name, template in workloads(manifests).items():
        for container in template["spec"]["containers"]:
            ports = {port["containerPort"] for port in container["ports"]} | {p.get("name") for p in container["ports"]}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container[kind]
                asked = {"grpc", "httpGet", "exec"} & probe.keys()
                assert len(asked) == 1, (name, kind)
                if "exec" not in asked:
                    assert probe[asked.pop()]["port"] in ports, (name, kind)
            startup = container["startupProbe"]
            assert startup["periodSeconds"] * startup["failureThreshold"] >= 60, name


def test_services_are_given_time_to_read_what_they_have_missed(manifests: list[Manifest]) -> None:
    for name in SERVICES:
        (container,) = workloads(manifests)[name]["spec"]["containers"]
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 600, name


def test_no_container_may_more_than_it_needs(manifests: list[Manifest]) -> None:
    for name, template in workloads(manifests).items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is (name == "k8s-launcher"), name
        assert not pod.get("hostNetwork")
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


def test_every_container_says_what_it_needs(manifests: list[Manifest]) -> None:
    for name, template in workloads(manifests).items():
        for container in containers(template):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


def test_what_ends_is_given_time(manifests: list[Manifest]) -> None:
    for name, template in workloads(manifests).items():
        assert template["spec"]["terminationGracePeriodSeconds"] >= 45, name
        (container,) = template["spec"]["containers"]
        ports = {port.get("name") for port in container["ports"]}
        if "grpc" in ports:
            assert container["lifecycle"]["preStop"], name


def test_every_volume_config_map_and_secret_exists(manifests: list[Manifest]) -> None:
    config_maps = {m["metadata"]["name"] for m in of_kind(manifests, "ConfigMap")}
    secrets = {m["metadata"]["name"]: set(m["data"]) for m in of_kind(manifests, "Secret")}
    for manifest in of_kind(manifests, "Deployment", "StatefulSet"):
        pod = manifest["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])}
        for container in containers(manifest["spec"]["template"]):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
            assert {source["configMapRef"]["name"] for source in container.get("envFrom", [])} <= config_maps
            for entry in container.get("env", []):
                reference = entry.get("valueFrom", {}).get("secretKeyRef")
                assert reference is None or reference["key"] in secrets[reference["name"]]
        assert {v["configMap"]["name"] for v in pod.get("volumes", []) if "configMap" in v} <= config_maps


def test_a_drained_node_takes_one_of_each_at_most(manifests: list[Manifest]) -> None:
    budgets = of_kind(manifests, "PodDisruptionBudget")
    templates = workloads(manifests)
    for name in templates.keys() - {"postgres", "minio"}:  # of one server each: a drain waits for nobody
        holding = [b for b in budgets if selected(b["spec"]["selector"], templates[name]["metadata"]["labels"])]
        assert [b["spec"]["maxUnavailable"] for b in holding] == [1], name


def test_services_and_selectors_find_their_pods_and_no_others(manifests: list[Manifest]) -> None:
    templates = workloads(manifests)
    for service in of_kind(manifests, "Service"):
        found = [
            template
            for template in templates.values()
            if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        assert len(found) == 1, service["metadata"]["name"]
        ports = {port.get("name") for c in found[0]["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for manifest in of_kind(manifests, "Deployment", "StatefulSet"):
        assert selected(manifest["spec"]["selector"], manifest["spec"]["template"]["metadata"]["labels"])


def test_three_servers_of_the_log_are_on_three_nodes(manifests: list[Manifest]) -> None:
    (nats,) = [m for m in of_kind(manifests, "StatefulSet") if m["metadata"]["name"] == "nats"]
    affinity = nats["spec"]["template"]["spec"].get("affinity")
    if nats["spec"]["replicas"] == 1:
        assert affinity is None
        return
    assert nats["spec"]["replicas"] == 3
    (term,) = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert selected(term["labelSelector"], nats["spec"]["template"]["metadata"]["labels"])


@pytest.mark.parametrize("where", ["kubernetes", "compose"])
def test_images_are_pinned(where: str, manifests: list[Manifest]) -> None:
    if where == "compose":
        images = {service["image"] for service in compose_without_loader()["services"].values()}
    else:
        images = {container["image"] for t in workloads(manifests).values() for container in containers(t)}
    for image in images:
        assert re.search(r":(v?\d+\.\d+[\w.-]*|RELEASE\.[\dTZ-]+)$", image), image


def test_kubernetes_and_compose_run_the_same_versions(manifests: list[Manifest]) -> None:
    ours = {container["image"] for t in workloads(manifests).values() for container in containers(t)}
    theirs = {service["image"] for service in compose_without_loader()["services"].values()}
    versions = dict(image.rsplit("/", 1)[-1].rsplit(":", 1) for image in theirs)
    for image in ours:
        name, version = image.rsplit("/", 1)[-1].rsplit(":", 1)
        assert versions[name] == version


def test_the_image_is_of_this_version(manifests: list[Manifest]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    built = {s["image"] for s in compose_without_loader()["services"].values() if "build" in s}
    assert built == {f"flightlog:{version}"}
    for name in SERVICES:
        (container,) = workloads(manifests)[name]["spec"]["containers"]
        assert container["image"].rsplit("/", 1)[-1] == f"flightlog:{version}"


def test_the_edge_is_started_alike_in_kubernetes_and_compose(manifests: list[Manifest]) -> None:
    if "edge" not in workloads(manifests):
        assert of_kind(manifests, "Gateway")
        return
    (container,) = workloads(manifests)["edge"]["spec"]["containers"]
    assert container["command"] == compose_without_loader()["services"]["edge"]["command"]
    assert named(manifests, "ConfigMap", "flightlog-edge")["data"] == {"nginx.conf": NGINX.read_text()}
    assert "/etc/flightlog" in {mount["mountPath"] for mount in container["volumeMounts"]}
