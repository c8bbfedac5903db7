"""kill -9 of the scheduler and of the execution service while a schedule ticks every second."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, timedelta
from itertools import pairwise
from pathlib import Path

import grpc
from flyteidl.admin import launch_plan_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution

from flightlog_cli.stack_process import StackProcess
from tests.integration.conftest import WORKFLOWS
from tests.integration.scheduler.test_schedules_by_flytekit import Calls, until

NAME = "scheduled.every_second"


def test_no_tick_is_lost_and_none_runs_twice(own_python_stack: StackProcess) -> None:
    environment = os.environ | own_python_stack.client_environment | {"FLYTECTL_CONFIG": "/dev/null"}
    pyflyte = str(Path(sys.executable).with_name("pyflyte"))
    register = [pyflyte, "register", "--version", "v1", "--image", "localhost/flytekit:1", "scheduled.py"]
    subprocess.run(register, cwd=WORKFLOWS, env=environment, check=True, capture_output=True, timeout=240)
    with grpc.insecure_channel(own_python_stack.grpc) as channel:
        flyte = Calls(channel)

        def asked_for(count: int) -> None:
            until(lambda: len(flyte.executions(NAME)) >= count)

        flyte.activate(NAME, "v1")
        asked_for(2)
        for part in ("scheduler", "execution"):
            before = len(flyte.executions(NAME))
            killed = own_python_stack.kill(part)
            own_python_stack.wait_for_part(part, after=killed)
            until(lambda: is_serving(flyte))
            asked_for(before + 3)
        flyte.activate(NAME, "v1", launch_plan_pb2.INACTIVE)
        found = flyte.schedule(NAME, past=1000)
        assert not found.schedule.active
        fired = {tick.due.ToDatetime(UTC): tick.execution for tick in found.past if tick.HasField("fired_at")}

        def all_over() -> bool:
            runs = flyte.executions(NAME)
            return len(runs) == len(fired) and all(run.closure.phase == WorkflowExecution.SUCCEEDED for run in runs)

        until(all_over)
        runs = flyte.executions(NAME)
        assert {run.id.name for run in runs} == set(fired.values())
        scheduled = [run.spec.metadata.scheduled_at.ToDatetime(UTC) for run in runs]
        assert sorted(scheduled) == sorted(fired)
        # Not a second is missing between the first and the last.
        assert {later - earlier for earlier, later in pairwise(sorted(fired))} == {timedelta(seconds=1)}
        # The ends of those that were killed in between have reached the schedule.
        until(lambda: not flyte.schedule(NAME).schedule.running)


def is_serving(flyte: Calls) -> bool:
    try:
        flyte.executions(NAME)
        flyte.schedule(NAME)
    except grpc.RpcError:
        return False
    return True
