"""kill -9 of the scheduler and of the execution service while a schedule ticks every second."""

from __future__ import annotations

from datetime import UTC, timedelta
from itertools import pairwise
from uuid import uuid4

import grpc
from flyteidl.admin import common_pb2, launch_plan_pb2, project_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier

from flightlog_cli.stack_process import StackProcess
from tests.integration.scheduler.test_schedules_by_flytekit import Calls, Pyflyte, until

REGISTERED = "scheduled.every_second"
# Others ask for theirs by the name alone.
NAME = "scheduled.killed"


def test_no_tick_is_lost_and_none_runs_twice(stack: StackProcess, pyflyte: Pyflyte) -> None:
    project = f"p{uuid4().hex[:10]}"
    with grpc.insecure_channel(stack.grpc) as channel:
        flyte = Calls(channel, project)
        flyte.admin.RegisterProject(project_pb2.ProjectRegisterRequest(project={"id": project, "name": project}))
        pyflyte(
            *("register", "--project", project, "--version", "v1", "--image", "localhost/flytekit:1", "scheduled.py")
        )
        plan = Identifier(
            resource_type=LAUNCH_PLAN, project=project, domain="development", name=REGISTERED, version="v1"
        )
        spec = flyte.admin.GetLaunchPlan(common_pb2.ObjectGetRequest(id=plan)).spec
        plan.name = NAME
        flyte.admin.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=plan, spec=spec))

        def asked_for(count: int) -> None:
            until(lambda: len(flyte.executions(NAME)) >= count)

        flyte.activate(NAME, "v1")
        asked_for(2)
        for part in ("scheduler", "execution"):
            before = len(flyte.executions(NAME))
            killed = stack.kill(part)
            stack.wait_for_part(part, after=killed)
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
