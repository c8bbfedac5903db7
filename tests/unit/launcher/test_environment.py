"""Variables of a task (engine-semantics §3.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightlog_cli.embedded.servers import Servers
from flightlog_cli.embedded.services import ServicePorts, service_environment
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.environment import inherited_environment, task_environment
from services.k8s_launcher.settings import Settings


def attempt(**envs: str) -> AttemptScheduled:
    fact = AttemptScheduled(attempt=2, envs=envs)
    fact.execution_id.project, fact.execution_id.domain, fact.execution_id.name = "p", "d", "e"
    fact.workflow_id.project, fact.workflow_id.domain, fact.workflow_id.name = "p", "d", "wf"
    fact.task_id.project, fact.task_id.domain, fact.task_id.name, fact.task_id.version = "tp", "td", "t", "v"
    return fact


def test_names_of_execution_and_task_are_there() -> None:
    assert task_environment(attempt(), container=(), defaults={}) == {
        "FLYTE_INTERNAL_EXECUTION_WORKFLOW": "p:d:wf",
        "FLYTE_INTERNAL_EXECUTION_ID": "e",
        "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": "d",
        "FLYTE_ATTEMPT_NUMBER": "2",
        "FLYTE_INTERNAL_TASK_PROJECT": "tp",
        "FLYTE_INTERNAL_TASK_DOMAIN": "td",
        "FLYTE_INTERNAL_TASK_NAME": "t",
        "FLYTE_INTERNAL_TASK_VERSION": "v",
    }


def test_later_sources_win() -> None:
    names = ("A", "B", "C", "D")
    variables = task_environment(
        attempt(C="execution", D="execution"),
        base=dict.fromkeys(names, "base"),
        container=[(name, "container") for name in names[1:]],
        defaults={"D": "operator"},
    )
    assert [variables[name] for name in names] == ["base", "container", "execution", "operator"]


def test_task_inherits_the_machine_and_nothing_that_steers_us_or_is_secret() -> None:
    machine = {"PATH": "/bin", "LANG": "C", "FLIGHTLOG_LOG__PASSWORD": "x", "FLYTE_PLATFORM_URL": "x", "MY_S_KEY": "x"}
    assert inherited_environment(machine, hidden="MY_S_") == {"PATH": "/bin", "LANG": "C"}


def settings(**launcher: object) -> Settings:
    given = {
        "log": {"nats_url": "nats://here"},
        "blobs": {"bucket": "b", "endpoint": "http://s3", "access_key": "k", "secret_key": "s"},
        "process": {"directory": "/tasks"},
        "launcher": launcher,
    }
    return Settings.model_validate(given)


def test_tasks_are_told_where_the_api_is_and_use_nobodys_client_configuration() -> None:
    assert settings(platform_url="api:8089", platform_insecure=True).task_base() == {
        "FLYTE_PLATFORM_URL": "api:8089",
        "FLYTE_PLATFORM_INSECURE": "true",
        "FLYTECTL_CONFIG": "/dev/null",
    }
    assert settings().task_base() == {}


@pytest.mark.parametrize(
    ("host", "told"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("10.0.0.7", "10.0.0.7")],
)
def test_embedded_stack_tells_the_launcher_its_own_address(tmp_path: Path, host: str, told: str) -> None:
    servers = Servers(
        nats_url="nats://here", nats_user="u", nats_password="p", dsn="postgresql:///", s3_endpoint="http://s3",
        s3_access_key="k", s3_secret_key="s", bucket="b", object_directory=tmp_path, children={},
    )  # fmt: skip
    ports = ServicePorts(grpc={"execution": 8089}, metrics={"k8s_launcher": 9090})
    variables = service_environment("k8s_launcher", servers, ports, host=host, work=tmp_path)
    assert variables["FLIGHTLOG_LAUNCHER__PLATFORM_URL"] == f"{told}:8089"
    assert variables["FLIGHTLOG_LAUNCHER__PLATFORM_INSECURE"] == "true"
