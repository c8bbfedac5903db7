"""The `pyflyte` command, as users type it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGING = """
from flytekit import task, workflow

@task
def one() -> int:
    return 1

@workflow
def w() -> int:
    return one()
"""

Pyflyte = Callable[..., subprocess.CompletedProcess[str]]
RUN = ("run", "--remote", "--wait", "--poll-interval", "1", "--image", "localhost/flytekit:1")
_NAME = re.compile(r"executions/([a-z][a-z0-9-]+)")


def execution_name(printed: str) -> str:
    found = _NAME.search(printed.replace("\n", ""))
    assert found, printed
    return found.group(1)


def test_run_remote_waits_for_the_outputs_and_a_second_run_reuses_the_registration(
    pyflyte: Pyflyte, remote: Any
) -> None:
    first = pyflyte(*RUN, "basics.py", "chain", "--x", "5")
    second = pyflyte(*RUN, "basics.py", "chain", "--x", "6")
    names = [execution_name(result.stdout) for result in (first, second)]
    runs = [remote.sync_execution(remote.fetch_execution(name=name), sync_nodes=True) for name in names]
    assert [run.outputs["o0"] for run in runs] == [17, 20]
    assert runs[0].spec.launch_plan == runs[1].spec.launch_plan


def test_run_remote_of_a_single_task(pyflyte: Pyflyte, remote: Any) -> None:
    result = pyflyte(*RUN, "basics.py", "add", "--a", "40", "--b", "2")
    run = remote.sync_execution(remote.fetch_execution(name=execution_name(result.stdout)), sync_nodes=True)
    assert run.outputs["o0"] == 42
    assert run.spec.launch_plan.resource_type_name() == "TASK"


def test_a_failing_run_shows_the_traceback_and_exits_non_zero(pyflyte: Pyflyte) -> None:
    result = pyflyte(*RUN, "basics.py", "failing", "--reason", "on purpose", check=False)
    assert result.returncode != 0
    assert "this task never works: on purpose" in re.sub(r"\s+", " ", result.stdout + result.stderr)


def test_register_fast_and_again_and_changed(pyflyte: Pyflyte, tmp_path: Path) -> None:
    module = tmp_path / "changing.py"
    module.write_text(CHANGING)
    arguments = ("register", "--version", "changing-1", "--image", "localhost/flytekit:1", "changing.py")
    assert "Success" in pyflyte(*arguments, cwd=tmp_path).stdout
    again = pyflyte(*arguments, cwd=tmp_path).stdout
    assert "already" in again.lower() or "Success" in again
    module.write_text(module.read_text().replace("-> int", "-> str").replace("return 1", "return 'one'"))
    changed = pyflyte(*arguments, check=False, cwd=tmp_path)
    assert changed.returncode != 0
    assert "different structure" in re.sub(r"\s+", " ", changed.stdout + changed.stderr)


def test_register_non_fast_and_execute_by_name(pyflyte: Pyflyte, remote: Any) -> None:
    pyflyte("register", "--non-fast", "--version", "solid-1", "--image", "localhost/flytekit:1", "basics.py")
    workflow = remote.fetch_workflow(name="basics.chain", version="solid-1")
    assert remote.fetch_workflow(name="basics.chain").id.version == "solid-1"
    assert [node.id for node in workflow.flyte_nodes] == ["n0", "n1", "n2", "n3"]
    plan = remote.fetch_launch_plan(name="basics.chain", version="solid-1")
    assert plan.workflow_id.name == "basics.chain"


def test_relaunch_from_the_command_line(pyflyte: Pyflyte, remote: Any) -> None:
    name = execution_name(pyflyte(*RUN, "basics.py", "ordered").stdout)
    pyflyte("execution", "--execution-id", name, "relaunch")
    again = next(run for run in remote.recent_executions() if run.spec.metadata.reference_execution is not None)
    assert again.spec.metadata.reference_execution.name == name


def test_fetch_version_and_launch_plan_activation(pyflyte: Pyflyte, remote: Any) -> None:
    name = execution_name(pyflyte(*RUN, "basics.py", "chain", "--x", "2").stdout)
    version = remote.fetch_launch_plan(name="basics.chain").id.version
    assert remote.fetch_active_launchplan(name="basics.chain") is None
    pyflyte("launchplan", "--activate", "basics.chain", version)
    assert remote.fetch_active_launchplan(name="basics.chain").id.version == version
    pyflyte("launchplan", "--deactivate", "basics.chain", version)
    assert remote.fetch_active_launchplan(name="basics.chain") is None
    assert "o0" in pyflyte("fetch", f"flyte://v1/flytesnacks/development/{name}/n0/o").stdout
    assert "Backend Version" in pyflyte("info").stdout
