"""Network policies: every connection that the settings name may be made, and no pod is without a policy."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import pytest

from .rendering import OVERLAYS, Manifest, named, of_kind, rendered, workloads

SERVING = ("registry", "execution", "catalog", "scheduler", "history")
SERVICES = (*SERVING, "k8s-launcher")
OUTSIDE = "outside"
"""A place that is no pod of ours: the internet, the API server."""
TASKS = "tasks"
"""A pod of a task, in a namespace of its own."""
MONITORING = "monitoring"
CONNECTORS = "connectors"

Policies = list[dict[str, Any]]


class Network:
    """Decides as a network plugin does: what any policy allows, once some policy selects the pod."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self._policies = [policy["spec"] for policy in of_kind(manifests, "NetworkPolicy")]
        self._labels = {name: template["metadata"]["labels"] for name, template in workloads(manifests).items()}

    def open(self, source: str, target: str, port: int, protocol: str = "TCP") -> bool:
        """Whether `source` reaches the port of `target`: it may leave the one and enter the other."""
        return self._allowed("Egress", source, target, port, protocol) and self._allowed(
            "Ingress", target, source, port, protocol
        )

    def _allowed(self, direction: str, pod: str, peer: str, port: int, protocol: str) -> bool:
        if pod not in self._labels:
            return True
        holding = [
            policy
            for policy in self._policies
            if direction in policy["policyTypes"] and self._matches(policy["podSelector"], self._labels[pod])
        ]
        assert holding, f"no policy holds for {pod}"
        rules = [rule for policy in holding for rule in policy.get(direction.lower(), [])]
        return any(self._rule(rule, "to" if direction == "Egress" else "from", peer, port, protocol) for rule in rules)

    def _rule(self, rule: dict[str, Any], key: str, peer: str, port: int, protocol: str) -> bool:
        ports = rule.get("ports")
        if ports is not None and not any(p["port"] == port and p["protocol"] == protocol for p in ports):
            return False
        return key not in rule or any(self._peer(found, peer) for found in rule[key])

    def _peer(self, found: dict[str, Any], peer: str) -> bool:
        if "ipBlock" in found:
            return peer == OUTSIDE and found["ipBlock"]["cidr"].endswith("/0")
        if "namespaceSelector" in found:
            wanted = found["namespaceSelector"].get("matchLabels", {})
            return peer != OUTSIDE and wanted.items() <= {"kubernetes.io/metadata.name": peer}.items()
        return peer in self._labels and self._matches(found["podSelector"], self._labels[peer])

    @staticmethod
    def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
        assert not selector.get("matchExpressions")
        return selector.get("matchLabels", {}).items() <= labels.items()


@pytest.fixture
def network(manifests: list[Manifest]) -> Network:
    return Network(manifests)


def place(url: str, names: set[str]) -> tuple[str, int]:
    """Which pod an address leads to, and at which port."""
    parts = urlsplit(url)
    name = (parts.hostname or "").split(".")[0]
    port = parts.port or {"https": 443, "http": 80, "postgresql": 5432}[parts.scheme]
    return (name if name in names else OUTSIDE), port


def test_the_launcher_alone_reaches_connectors(network: Network) -> None:
    assert [service for service in SERVICES if network.open(service, CONNECTORS, 8000)] == ["k8s-launcher"]


def test_every_address_in_the_settings_can_be_reached(manifests: list[Manifest], network: Network) -> None:
    names = set(workloads(manifests))
    settings = named(manifests, "ConfigMap", "flightlog-settings")["data"]
    dsn = base64.b64decode(named(manifests, "Secret", "flightlog-database")["data"]["dsn"]).decode()
    database = place(dsn if "://" in dsn else "postgresql://db.example.com/flightlog", names)
    for service in SERVICES:
        assert network.open(service, *place(settings["FLIGHTLOG_LOG__NATS_URL"], names)), service
        assert network.open(service, *place(settings["FLIGHTLOG_BLOBS__ENDPOINT"], names)), service
        assert network.open(service, *database) is (service in SERVING), service


def test_names_are_looked_up(manifests: list[Manifest], network: Network) -> None:
    for name in workloads(manifests):
        for protocol in ("UDP", "TCP"):
            assert network.open(name, "kube-system", 53, protocol), name
            assert not network.open(name, TASKS, 53, protocol), name


def test_only_the_launcher_speaks_with_the_api_server(manifests: list[Manifest], network: Network) -> None:
    assert network.open("k8s-launcher", OUTSIDE, 6443)
    assert network.open("k8s-launcher", OUTSIDE, 443)
    for name in workloads(manifests).keys() - {"k8s-launcher"}:
        assert not network.open(name, OUTSIDE, 6443), name


def test_notifications_leave_the_cluster(network: Network) -> None:
    for port in (443, 587, 465):
        assert network.open("scheduler", OUTSIDE, port)


def test_the_log_is_for_the_services_and_its_own_servers(manifests: list[Manifest], network: Network) -> None:
    assert network.open("nats", "nats", 6222)
    for name in workloads(manifests):
        assert network.open(name, "nats", 4222) is (name in SERVICES), name
        assert network.open(name, "nats", 6222) is (name == "nats"), name
        assert not network.open(name, "nats", 8222), name
    for other in (TASKS, OUTSIDE, MONITORING):
        assert not network.open(other, "nats", 4222)


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if not name.endswith("-gateway")])
def test_clients_and_tasks_come_in_by_the_edge_alone(overlay: str) -> None:
    network = Network(rendered(overlay))
    for client in (TASKS, OUTSIDE):
        assert network.open(client, "edge", 8089)
        assert not network.open(client, "edge", 8088)
        for service in SERVING:
            assert not network.open(client, service, 8089)
    for service in SERVING:
        assert network.open("edge", service, 8089)
        assert not network.open("edge", service, 9090)
    assert not network.open("edge", "nats", 4222)
    assert not network.open("edge", OUTSIDE, 443)


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name.endswith("-gateway")])
def test_a_gateway_in_any_namespace_reaches_the_services(overlay: str) -> None:
    manifests = rendered(overlay)
    network = Network(manifests)
    backends = {
        (backend["name"], backend["port"])
        for route in of_kind(manifests, "GRPCRoute")
        for rule in route["spec"]["rules"]
        for backend in rule["backendRefs"]
    }
    assert {name for name, _ in backends} == set(SERVING)
    for service, port in backends:
        assert network.open("gateway-system", service, port)
        assert not network.open(OUTSIDE, service, port)


def test_metrics_are_for_the_monitoring_namespace(network: Network) -> None:
    for service in SERVICES:
        assert network.open(MONITORING, service, 9090)
        assert not network.open(TASKS, service, 9090)
        assert network.open(service, MONITORING, 4317)


def test_in_cluster_stores(manifests: list[Manifest], network: Network) -> None:
    names = workloads(manifests).keys()
    if "minio" in names:
        assert network.open(TASKS, "minio", 9000)
        assert not network.open("minio", OUTSIDE, 443)
    if "postgres" in names:
        assert not network.open(TASKS, "postgres", 5432)
        assert not network.open("k8s-launcher", "postgres", 5432)


def test_every_declared_port_is_reachable_by_somebody_or_is_for_probes(
    manifests: list[Manifest], network: Network
) -> None:
    everybody = [*workloads(manifests), OUTSIDE, TASKS, MONITORING]
    for name, template in workloads(manifests).items():
        for container in template["spec"]["containers"]:
            probed = {
                str(container[kind].get(how, {}).get("port"))
                for kind in ("startupProbe", "readinessProbe", "livenessProbe")
                for how in ("grpc", "httpGet")
            }
            for port in container["ports"]:
                reached = any(network.open(other, name, port["containerPort"]) for other in everybody)
                assert reached or {str(port["containerPort"]), port["name"]} & probed, (name, port)
