"""docker-compose.yml as compose itself reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightlog_cli.generate import NGINX, ROOT

from .rendering import Manifest, composed


@pytest.fixture(scope="module")
def services() -> Manifest:
    return composed()["services"]


def test_compose_takes_the_file_and_has_every_service(services: Manifest) -> None:
    ours = {"registry", "execution", "k8s-launcher", "catalog", "scheduler", "history"}
    assert services.keys() == ours | {"nats", "postgres", "minio", "bucket", "edge", "prometheus", "grafana"}
    assert len({services[name]["image"] for name in ours}) == 1


def test_what_is_waited_for_has_a_way_to_tell(services: Manifest) -> None:
    """A service of the image has the image's own health check."""
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] in ("service_healthy", "service_completed_successfully"), (name, other)
            if wait["condition"] == "service_healthy" and "build" not in services[other]:
                assert services[other]["healthcheck"]["test"], other
    assert "HEALTHCHECK" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_files_that_are_mounted_exist(services: Manifest) -> None:
    mounted = {
        Path(volume["source"]) for s in services.values() for volume in s.get("volumes", []) if volume["type"] == "bind"
    }
    assert NGINX in mounted
    assert all(path.exists() for path in mounted)


def test_ports_are_for_this_machine_unless_told(services: Manifest) -> None:
    published = {
        (name, port["published"], port["host_ip"]) for name, s in services.items() for port in s.get("ports", [])
    }
    assert published == {
        ("edge", "8089", "127.0.0.1"),
        ("minio", "9000", "127.0.0.1"),
        ("prometheus", "9090", "127.0.0.1"),
        ("grafana", "3000", "127.0.0.1"),
    }


def test_services_have_no_rights_that_they_do_not_need(services: Manifest) -> None:
    for name, service in services.items():
        if "build" in service or name == "edge":
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service.get("read_only", False) is (name != "k8s-launcher"), name
