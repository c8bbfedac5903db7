"""`flightlog up` as its users meet it: a ready line, endpoints, supervision, clean stops and rude ones."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from flyteidl.admin.project_pb2 import Project, ProjectListRequest, ProjectRegisterRequest
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from flightlog_cli.embedded.child import StackError
from flightlog_cli.stack_process import StackProcess

PARTS = {"nats", "postgres", "s3", "registry", "execution", "k8s_launcher", "catalog", "scheduler", "history"}


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """The stack of this module's tests, one after another; each leaves it running."""
    with StackProcess(tmp_path_factory.mktemp("mine"), environment={"FLIGHTLOG_PROCESS__PRELOAD": "[]"}) as running:
        yield running


def projects(stack: StackProcess) -> set[str]:
    with grpc.insecure_channel(stack.grpc) as channel:
        answer = AdminServiceStub(channel).ListProjects(ProjectListRequest(), timeout=20, wait_for_ready=True)
    return {project.id for project in answer.projects}


def register_project(stack: StackProcess, name: str) -> None:
    with grpc.insecure_channel(stack.grpc) as channel:
        request = ProjectRegisterRequest(project=Project(id=name, name=name))
        AdminServiceStub(channel).RegisterProject(request, timeout=20, wait_for_ready=True)


def test_endpoints_are_private_and_complete(mine: StackProcess) -> None:
    path = mine.data / "endpoints.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {"grpc", "nats", "postgres", "s3"} <= json.loads(path.read_text()).keys()
    assert "flytesnacks" in projects(mine)


def test_status_shows_every_part_up(mine: StackProcess) -> None:
    status = mine.cli_json("status")
    assert status["up"]
    assert {part["name"] for part in status["parts"] if part["up"]} == PARTS
    assert status["log"]["streams"]["REGISTRY"] >= 1
    shown = mine.cli("status")
    assert shown.returncode == 0
    assert all(part in shown.stdout for part in PARTS)


def test_second_up_on_the_folder_is_refused(mine: StackProcess) -> None:
    second = mine.cli("up", "--port", "0")
    assert second.returncode == 1
    assert "is in use by another `flightlog up`" in second.stderr
    assert "flytesnacks" in projects(mine)


def test_taken_port_is_a_clear_error(mine: StackProcess, tmp_path: Path) -> None:
    port = mine.grpc.rpartition(":")[2]
    command = [sys.executable, "-m", "flightlog_cli", "up", "--data", str(tmp_path), "--port", port]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken" in result.stderr


@pytest.mark.parametrize("part", sorted(PARTS))
def test_killed_part_comes_back_in_its_place(part: str, mine: StackProcess) -> None:
    killed = mine.kill(part)
    assert mine.wait_for_part(part, after=killed) != killed
    assert "flytesnacks" in projects(mine)


def test_services_come_back_when_the_process_that_forks_them_is_killed(mine: StackProcess) -> None:
    services = PARTS - {"nats", "postgres", "s3"}
    before = mine.pids
    (forking,) = {psutil.Process(before[name]).ppid() for name in services}
    assert forking not in (mine.pid, 1)
    psutil.Process(forking).kill()
    for name in services:
        mine.wait_for_part(name, after=before[name])
    assert {name: pid for name, pid in mine.pids.items() if name not in services} == {
        name: pid for name, pid in before.items() if name not in services
    }
    assert "flytesnacks" in projects(mine)


def test_what_was_acknowledged_survives_a_clean_restart_and_a_power_cut(mine: StackProcess) -> None:
    endpoint = mine.grpc
    register_project(mine, "kept")
    mine.restart()
    assert mine.grpc == endpoint
    assert "kept" in projects(mine)
    register_project(mine, "kept-too")
    mine.kill_all()
    mine.start()
    assert {"kept", "kept-too"} <= projects(mine)


def test_supervisor_that_was_killed_leaves_nothing_in_the_way(mine: StackProcess) -> None:
    endpoint, before = mine.grpc, mine.pids
    mine.kill("supervisor")
    mine.start()
    assert mine.grpc == endpoint
    assert not set(before.values()) & set(mine.pids.values())
    assert "flytesnacks" in projects(mine)


def test_stop_is_quick_and_leaves_no_process(mine: StackProcess) -> None:
    processes = [psutil.Process(pid) for pid in mine.pids.values()]
    begun = time.monotonic()
    mine.stop()
    # Three seconds on a machine with nothing else to do; the tests may share theirs.
    assert time.monotonic() - begun < 10
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    assert not (mine.data / "endpoints.json").exists()
    down = mine.cli("status")
    assert down.returncode == 1
    assert "No stack runs on" in down.stderr
    mine.start()


def test_ready_line_names_the_endpoints_and_no_secret(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flightlog_cli", "up", "--data", str(tmp_path), "--port", "0", "--json"]
    environment = {**os.environ, "FLIGHTLOG_PROCESS__PRELOAD": "[]"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        secrets = json.loads((tmp_path / "credentials.json").read_text())
        process.terminate()
        rest = process.stdout.read()
    ready = json.loads(line)
    assert ready["ready"]
    assert {"grpc", "nats", "postgres", "s3"} <= ready.keys()
    assert not [name for name, value in secrets.items() if name.endswith(("password", "key")) and value in line]
    assert rest == ""
    assert process.returncode == 0


def test_start_that_fails_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    stack = StackProcess(tmp_path, environment={"FLIGHTLOG_LAUNCHER__TASK_ENVIRONMENT": "no json"})
    with pytest.raises(StackError, match="must be a JSON object"):
        stack.start()
    with pytest.raises(StackError, match="registry does not start"):
        StackProcess(tmp_path, environment={"FLIGHTLOG_REGISTRY__NO_SUCH": "1"}).start()
    log = (tmp_path / "logs" / "registry.log").read_text()
    assert log.count("the settings are wrong") == 1, "what cannot work is not tried again"
    assert "no_such" in log
    mine = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert mine == []


def test_cli_outside_a_stack_tells_how_to_start_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flightlog_cli", "events", "x", "--data", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLIGHTLOG")}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert result.returncode == 1
    assert "flightlog up" in result.stderr
