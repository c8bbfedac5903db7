"""The routing table names one owner for every method of the Flyte surface, and all that is made from it agrees."""

import re

import pytest
import yaml
from flyteidl.cacheservice import cacheservice_pb2
from flyteidl.datacatalog import datacatalog_pb2
from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2, identity_pb2, signal_pb2
from google.protobuf.descriptor import FileDescriptor

from flightlog_protos.catalog.v1 import catalog_service_pb2, lineage_service_pb2
from flightlog_protos.execution.v1 import queue_service_pb2
from flightlog_protos.history.v1 import history_service_pb2
from flightlog_protos.scheduler.v1 import delivery_service_pb2, schedule_service_pb2
from flightlog_rpc import METHODS, OWNERS, SERVED, coverage, edge
from flightlog_rpc.routing import sentence, short_name

FILES: list[FileDescriptor] = [
    admin_pb2.DESCRIPTOR,
    dataproxy_pb2.DESCRIPTOR,
    signal_pb2.DESCRIPTOR,
    auth_pb2.DESCRIPTOR,
    identity_pb2.DESCRIPTOR,
    datacatalog_pb2.DESCRIPTOR,
    cacheservice_pb2.DESCRIPTOR,
    queue_service_pb2.DESCRIPTOR,
    catalog_service_pb2.DESCRIPTOR,
    lineage_service_pb2.DESCRIPTOR,
    schedule_service_pb2.DESCRIPTOR,
    delivery_service_pb2.DESCRIPTOR,
    history_service_pb2.DESCRIPTOR,
]
SURFACE = {
    f"/{service.full_name}/{method.name}"
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
}


def test_every_method_of_the_protos_has_an_owner_and_no_other_has() -> None:
    assert set(OWNERS) == SURFACE
    assert set(METHODS) == SURFACE


def test_admin_service_is_complete_as_flyteidl_1_16_has_it() -> None:
    assert sum(name.startswith("/flyteidl.service.AdminService/") for name in OWNERS) == 56


def test_every_owner_is_a_service_of_the_design() -> None:
    assert set(OWNERS.values()) <= {"registry", "execution", "scheduler", "catalog", "history"}


def test_no_method_takes_a_stream() -> None:
    assert not [
        method.full_name
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods
        if method.client_streaming
    ]


def test_served_methods_are_methods_of_the_surface() -> None:
    assert SERVED
    assert set(OWNERS) > SERVED


@pytest.mark.parametrize("name", ["CreateTask", "GetExecution", "ListNodeExecutionsForTask", "GetVersion"])
def test_what_this_release_needs_is_served(name: str) -> None:
    assert f"/flyteidl.service.AdminService/{name}" in SERVED


def test_authentication_services_stay_unserved_while_it_is_off() -> None:
    about = {name for name in OWNERS if "AuthMetadataService" in name or "IdentityService" in name}
    assert len(about) == 3
    assert not about & SERVED
    assert all("authentication is off" in sentence(name) for name in about)


@pytest.mark.parametrize("name", sorted(set(OWNERS) - SERVED))
def test_an_unserved_method_says_who_will_serve_it(name: str) -> None:
    text = sentence(name)
    assert short_name(name) in text
    assert OWNERS[name] in text or "authentication is off" in text


def test_coverage_page_lists_every_method_once_with_its_owner() -> None:
    page = coverage.render()
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    listed: dict[str, str] = {}
    for section in sections:
        service = section.splitlines()[0]
        for method, owner, _state in re.findall(r"^\| (\w+) \| `(\w+)` \| (.+) \|$", section, flags=re.MULTILINE):
            assert f"/{service}/{method}" not in listed
            listed[f"/{service}/{method}"] = owner
    assert listed == dict(OWNERS)
    assert page.count("| yes |") == len(SERVED)


GRPCS_OWN = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)
"""Answered by one service for all."""


def nginx_owner(conf: str, path: str) -> str | None:
    """Which upstream nginx would choose: the first regular expression that matches."""
    for pattern, upstream in re.findall(r"location ~ (\S+) \{[^}]*\sgrpc_pass grpc://flightlog_(\w+);", conf):
        if re.search(pattern, path):
            return upstream
    return None


def test_nginx_sends_every_method_to_its_owner() -> None:
    services = ("registry", "execution", "catalog", "scheduler", "history")
    conf = edge.nginx_conf({service: f"{service}:8089" for service in services})
    assert {name: nginx_owner(conf, name) for name in OWNERS} == dict(OWNERS)
    assert nginx_owner(conf, "/flyteidl.service.AdminService/GetTaskX") is None
    for path in GRPCS_OWN:
        assert nginx_owner(conf, path) == "execution"
    assert conf.count("{") == conf.count("}")


def test_nginx_leaves_out_methods_of_services_that_are_not_installed() -> None:
    conf = edge.nginx_conf({"registry": "registry:8089"})
    assert nginx_owner(conf, "/flyteidl.service.AdminService/GetExecution") is None
    assert nginx_owner(conf, "/flyteidl.service.AdminService/GetTask") == "registry"


def test_grpc_routes_send_every_method_to_its_owner() -> None:
    backends = {
        "registry": ("registry", 80),
        "execution": ("execution", 81),
        "catalog": ("catalog", 82),
        "scheduler": ("scheduler", 83),
        "history": ("history", 84),
    }
    routes = list(yaml.load_all(edge.grpc_routes(backends, gateway="edge", namespace="flightlog"), yaml.CSafeLoader))
    chosen: dict[str, str] = {}
    for specific in (False, True):  # a match with a method wins over one with the service alone
        for route in routes:
            assert len(route["spec"]["rules"]) <= 16
            for rule in route["spec"]["rules"]:
                assert len(rule["matches"]) <= 8
                for match in (
                    found["method"] for found in rule["matches"] if ("method" in found["method"]) is specific
                ):
                    prefix = f"/{match['service']}/{match.get('method', '')}"
                    surface = [*OWNERS, *GRPCS_OWN]
                    names = [name for name in surface if (name == prefix if specific else name.startswith(prefix))]
                    assert names
                    chosen |= dict.fromkeys(names, rule["backendRefs"][0]["name"])
    assert chosen == {**OWNERS, **dict.fromkeys(GRPCS_OWN, "execution")}
