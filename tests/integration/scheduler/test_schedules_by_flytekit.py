"""Schedules as users of flytekit have them: registered, activated and deactivated by its own tools."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from flyteidl.service import admin_pb2_grpc
from typer.testing import CliRunner

from flightlog_cli.main import app
from flightlog_cli.stack_process import StackProcess
from flightlog_protos.scheduler.v1 import schedule_service_pb2 as calls
from flightlog_rpc import METHODS
from services.scheduler.schedules.naming import tick_name
from tests.integration.flytekit.test_pyflyte_commands import execution_name

Command = Callable[..., Any]
Pyflyte = Callable[..., subprocess.CompletedProcess[str]]
PROJECT, DOMAIN = "flytesnacks", "development"
PLACE = ("--project", PROJECT, "--domain", DOMAIN)
SERVICE = "/flightlog.scheduler.v1.ScheduleService/"
SECOND = timedelta(seconds=1)
POLL = timedelta(milliseconds=100)


class Calls:
    """The services' methods on the public port; schedules are those of one project."""

    def __init__(self, channel: grpc.Channel, project: str = PROJECT) -> None:
        self._channel = channel
        self._project = project
        self.admin: Any = admin_pb2_grpc.AdminServiceStub(channel)

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        method = METHODS[SERVICE + name]
        return self._channel.unary_unary(
            method.full_name,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    def schedule(self, name: str, upcoming: int = 0, past: int = 0) -> Any:
        request = calls.GetScheduleRequest(name=schedule_name(name, self._project), next=upcoming, past=past)
        return self.GetSchedule(request)

    def executions(self, launch_plan: str) -> list[Any]:
        request = common_pb2.ResourceListRequest(
            id=common_pb2.NamedEntityIdentifier(project=self._project, domain=DOMAIN),
            filters=f"eq(launch_plan.name,{launch_plan})",
            limit=1000,
        )
        return list(self.admin.ListExecutions(request).executions)

    def activate(self, name: str, version: str, state: int = launch_plan_pb2.ACTIVE) -> None:
        """As flytectl does."""
        plan = Identifier(resource_type=LAUNCH_PLAN, project=self._project, domain=DOMAIN, name=name, version=version)
        self.admin.UpdateLaunchPlan(launch_plan_pb2.LaunchPlanUpdateRequest(id=plan, state=state))  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def flyte(stack: StackProcess) -> Iterator[Calls]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield Calls(channel)


@pytest.fixture(scope="module")
def command(stack: StackProcess) -> Command:
    """`flightlog <arguments>` on the stack's folder, in this process."""

    def run(*arguments: str) -> Any:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, "--data", str(stack.data)])

    return run


@pytest.fixture(scope="module")
def versions(pyflyte: Pyflyte, flyte: Calls) -> tuple[str, str]:
    """Two versions of the launch plans with schedules: one by flytekit, one as any other client makes it."""
    first, second = "scheduled-1", "scheduled-2"
    pyflyte("register", "--version", first, "--image", "localhost/flytekit:1", "scheduled.py")
    for name in ("scheduled.hourly", "scheduled.daily"):
        plan = Identifier(resource_type=LAUNCH_PLAN, project=PROJECT, domain=DOMAIN, name=name, version=first)
        spec = flyte.admin.GetLaunchPlan(common_pb2.ObjectGetRequest(id=plan)).spec
        plan.version = second
        flyte.admin.CreateLaunchPlan(launch_plan_pb2.LaunchPlanCreateRequest(id=plan, spec=spec))
    return first, second


def as_json(command: Command, *arguments: str) -> Any:
    return json.loads(command(*arguments, "--json").stdout)


def schedule_name(name: str, project: str = PROJECT) -> calls.ScheduleName:
    return calls.ScheduleName(project=project, domain=DOMAIN, name=name)


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def moment(stamp: Any) -> datetime:
    return stamp.ToDatetime(UTC)


def test_a_schedule_runs_from_its_activation_to_its_deactivation(
    flyte: Calls, pyflyte: Pyflyte, versions: tuple[str, str], command: Command
) -> None:
    name = "scheduled.every_second"
    pyflyte("launchplan", *PLACE, "--activate", name, versions[0])
    until(lambda: len(flyte.executions(name)) >= 3)
    flyte.activate(name, versions[0], launch_plan_pb2.INACTIVE)
    found = flyte.schedule(name, upcoming=3, past=1000)
    assert (found.schedule.active, list(found.next)) == (False, [])
    # It is inactive: what was asked for by now is all that there will be.
    fired = [tick for tick in found.past if tick.fired_at.seconds]
    runs = until(
        lambda: (
            [run for run in flyte.executions(name) if run.closure.phase == WorkflowExecution.SUCCEEDED][: len(fired)]
            if len(flyte.executions(name)) == len(fired)
            and all(run.closure.phase == WorkflowExecution.SUCCEEDED for run in flyte.executions(name))
            else None
        )
    )
    assert {run.id.name for run in runs} == {tick.execution for tick in fired}
    dues = sorted(moment(run.spec.metadata.scheduled_at) for run in runs)
    assert all(later - earlier == SECOND for earlier, later in pairwise(dues))
    for run in runs:
        metadata = run.spec.metadata
        assert (metadata.mode, metadata.principal) == (execution_pb2.ExecutionMetadata.SCHEDULED, "")
        assert run.id.name == tick_name(run.spec.launch_plan, moment(metadata.scheduled_at))
        data = flyte.admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=run.id))
        assert data.full_inputs.literals["kickoff"].scalar.primitive.datetime == metadata.scheduled_at
    shown = command("schedules", "show", name, "--past", "3").stdout
    assert "inactive" in shown
    assert fired[0].execution in shown


def test_schedules_say_when_they_tick_next(flyte: Calls, versions: tuple[str, str], command: Command) -> None:
    expected = {
        "scheduled.daily": "0 3 * * * UTC",
        "scheduled.hourly": "hourly UTC",
        "scheduled.fixed_rate": "every 10 minutes",
    }
    for name in expected:
        flyte.activate(name, versions[0])
        active = {one.name.name for one in flyte.ListSchedules(calls.ListSchedulesRequest()).schedules if one.active}
        assert name in active
        found = flyte.schedule(name, upcoming=3)
        assert found.schedule.expression == expected[name]
        assert [moment(due) for due in found.next] == sorted({moment(due) for due in found.next})
        assert found.next[0] == found.schedule.next_due
    daily = [moment(due) for due in flyte.schedule("scheduled.daily", upcoming=2).next]
    assert [(due.hour, due.minute, due.second) for due in daily] == [(3, 0, 0)] * 2
    assert daily[1] - daily[0] == timedelta(days=1)
    listed = as_json(command, "schedules")
    shown = {one["name"]["name"]: one for one in listed}
    assert {name: shown[name]["expression"] for name in expected} == expected
    assert all(shown[name]["active"] for name in expected)
    assert "0 3 * * * UTC" in command("schedules").stdout
    for name in expected:
        flyte.activate(name, versions[0], launch_plan_pb2.INACTIVE)
        assert not flyte.schedule(name).schedule.active


def test_the_schedule_moves_to_the_version_that_is_activated(flyte: Calls, versions: tuple[str, str]) -> None:
    first, second = versions
    flyte.activate("scheduled.hourly", first)
    assert flyte.schedule("scheduled.hourly").schedule.version == first
    flyte.activate("scheduled.hourly", second)
    assert flyte.schedule("scheduled.hourly").schedule.version == second
    flyte.activate("scheduled.hourly", second, launch_plan_pb2.INACTIVE)


def test_a_schedule_is_paused_and_resumed(flyte: Calls, versions: tuple[str, str], command: Command) -> None:
    name = "scheduled.daily"
    flyte.activate(name, versions[0])
    assert command("schedules", "pause", name, "--reason", "holidays").exit_code == 0
    found = flyte.schedule(name, upcoming=1).schedule
    assert (found.active, found.paused, found.pause_reason) == (True, True, "holidays")
    assert "paused: holidays" in command("schedules").stdout
    assert "goes on; its next tick is" in command("schedules", "resume", name).stdout
    assert not flyte.schedule(name).schedule.paused
    flyte.activate(name, versions[0], launch_plan_pb2.INACTIVE)
    refused = command("schedules", "pause", f"{PROJECT}/{DOMAIN}/{name}")
    assert refused.exit_code == 1
    assert "FAILED_PRECONDITION" in refused.stderr


def backfill(flyte: Calls, begin: datetime, end: datetime, version: str, **options: Any) -> Any:
    request = calls.CreateBackfillRequest(**options)
    plan = request.launch_plan
    plan.resource_type, plan.version = LAUNCH_PLAN, version
    plan.project, plan.domain, plan.name = PROJECT, DOMAIN, "scheduled.daily"
    getattr(request, "from").FromDatetime(begin)
    request.to.FromDatetime(end)
    return flyte.CreateBackfill(request).backfill


def finished(flyte: Calls, name: str) -> Any:
    request = calls.GetBackfillRequest(project=PROJECT, domain=DOMAIN, id=name)
    return until(
        lambda: found if (found := flyte.GetBackfill(request)).backfill.state in ("finished", "cancelled") else None
    )


def test_a_backfill_runs_its_range_once_and_again_when_it_overwrites(
    flyte: Calls, versions: tuple[str, str], command: Command
) -> None:
    version, place = versions[0], ("--from", "2024-05-01T00:00:00+0000", "--to", "2024-05-06T00:00:00+0000")
    days = [datetime(2024, 5, day, 3, tzinfo=UTC) for day in range(1, 6)]
    flyte.activate("scheduled.daily", version)
    created = as_json(command, "backfill", "create", "scheduled.daily", *place, "--parallelism", "2", "--id", "may")
    assert (created["total"], created["launch_plan"]["version"]) == (5, version)
    done = finished(flyte, "may")
    assert (done.backfill.succeeded, done.backfill.failed, done.backfill.skipped) == (5, 0, 0)
    assert [moment(tick.due) for tick in done.ticks] == days
    assert [moment(tick.fired_at) for tick in done.ticks] == sorted(moment(tick.fired_at) for tick in done.ticks)
    # Two at once: the third was asked for when one of the first two was over.
    ends = sorted(moment(tick.ended_at) for tick in done.ticks)
    assert moment(done.ticks[2].fired_at) >= ends[0]
    # The same one again is the same one; another of the range finds all of it run.
    same = as_json(command, "backfill", "create", "scheduled.daily", *place, "--parallelism", "2", "--id", "may")
    assert (same["id"], same["state"]) == ("may", "finished")
    again = backfill(flyte, days[0], days[4] + timedelta(days=1), version, id="again")
    assert finished(flyte, again.id).backfill.skipped == 5
    over = backfill(flyte, days[0], days[2], version, id="over", overwrite=True, reverse=True)
    done = finished(flyte, over.id)
    assert (done.backfill.total, done.backfill.succeeded) == (2, 2)
    newest, oldest = done.ticks[1], done.ticks[0]
    assert moment(newest.fired_at) < moment(oldest.fired_at)
    shown = command("backfill", "show", "may").stdout
    assert "finished, 5 of 5 ticks are over" in shown
    assert [one["id"] for one in as_json(command, "backfill", "ls")][:3] == ["over", "again", "may"]
    assert "no more" not in shown
    flyte.activate("scheduled.daily", version, launch_plan_pb2.INACTIVE)


def test_pyflyte_s_own_backfill_runs_a_range_one_after_another(
    pyflyte: Pyflyte, remote: Any, versions: tuple[str, str]
) -> None:
    """It registers a workflow with a launch-plan node for each tick."""
    printed = pyflyte(
        "backfill", *PLACE, "--from-date", "2024-05-01", "--to-date", "2024-05-04", "--serial",
        "--version", "backfill-serial", "scheduled.daily", versions[0],
    )  # fmt: skip
    children = backfilled(remote, remote.fetch_execution(name=execution_name(printed.stdout)))
    began = [child.closure.started_at for child in children]
    ended = [child.closure.started_at + child.closure.duration for child in children]
    assert all(end <= start for end, start in zip(ended, began[1:], strict=False))


def test_flytekit_s_own_backfill_runs_a_range_side_by_side(remote: Any, versions: tuple[str, str]) -> None:
    execution = remote.launch_backfill(
        PROJECT,
        DOMAIN,
        from_date=datetime(2024, 5, 1),  # as the command gives it
        to_date=datetime(2024, 5, 4),
        launchplan="scheduled.daily",
        launchplan_version=versions[0],
        version="backfill-parallel",
        parallel=True,
    )
    backfilled(remote, execution)


def backfilled(remote: Any, execution: Any) -> list[Any]:
    """The children of the workflow that runs a range of three days."""
    done = remote.wait(execution, timeout=timedelta(seconds=120), poll_interval=POLL, sync_nodes=True)
    assert done.is_successful
    children = [node.workflow_executions[0] for name, node in sorted(done.node_executions.items()) if name[0] == "n"]
    assert [child.inputs["kickoff"] for child in children] == [
        datetime(2024, 5, day, 3, tzinfo=UTC) for day in (1, 2, 3)
    ]
    assert all(child.is_successful for child in children)
    return children


def test_a_backfill_is_cancelled(flyte: Calls, versions: tuple[str, str], command: Command) -> None:
    """While the range is large, one after another: it cannot be over yet."""
    begin = datetime(2000, 1, 1, tzinfo=UTC)
    created = backfill(flyte, begin, begin + timedelta(days=5000), versions[1], id="large")
    assert (created.state, created.total, created.parallelism) == ("running", 5000, 1)
    assert command("backfill", "cancel", "large", "--terminate", "--reason", "too much").exit_code == 0
    done = finished(flyte, "large").backfill
    assert (done.state, done.cancel_reason, done.running) == ("cancelled", "too much", 0)
    assert done.succeeded + done.failed < 5000
    assert done.succeeded + done.failed == len(
        flyte.GetBackfill(calls.GetBackfillRequest(project=PROJECT, domain=DOMAIN, id="large")).ticks
    )


def test_what_cannot_be_asked_is_refused(flyte: Calls, versions: tuple[str, str]) -> None:
    begin, version = datetime(2024, 5, 1, tzinfo=UTC), versions[0]

    def refused(call: Callable[[], Any]) -> str:
        with pytest.raises(grpc.RpcError) as raised:
            call()
        error: Any = raised.value
        return error.code().name

    def get(name: str) -> Callable[[], Any]:
        return lambda: flyte.GetBackfill(calls.GetBackfillRequest(project=PROJECT, domain=DOMAIN, id=name))

    assert refused(lambda: flyte.schedule("scheduled.unheard_of")) == "NOT_FOUND"
    assert refused(lambda: flyte.GetSchedule(calls.GetScheduleRequest())) == "INVALID_ARGUMENT"
    pause = calls.PauseScheduleRequest(name=schedule_name("scheduled.unheard_of"))
    assert refused(lambda: flyte.PauseSchedule(pause)) == "NOT_FOUND"
    long = calls.PauseScheduleRequest(name=schedule_name("scheduled.daily"), reason="x" * 2000)
    assert refused(lambda: flyte.PauseSchedule(long)) == "INVALID_ARGUMENT"
    assert refused(lambda: flyte.schedule("scheduled.\0")) == "NOT_FOUND"
    assert refused(lambda: flyte.schedule("x" * 5000)) == "NOT_FOUND"
    assert refused(get("unheard-of")) == "NOT_FOUND"
    assert refused(get("\0")) == "NOT_FOUND"
    assert refused(lambda: backfill(flyte, begin, begin, version)) == "INVALID_ARGUMENT"
    assert refused(lambda: backfill(flyte, begin, begin + SECOND, version)) == "INVALID_ARGUMENT"
    far = begin + timedelta(days=20_000)
    assert refused(lambda: backfill(flyte, begin, far, version)) == "INVALID_ARGUMENT"
    assert refused(lambda: backfill(flyte, begin, begin + timedelta(days=2), "v0")) == "NOT_FOUND"
    flyte.activate("scheduled.daily", version, launch_plan_pb2.INACTIVE)
    assert refused(lambda: backfill(flyte, begin, begin + timedelta(days=2), "")) == "FAILED_PRECONDITION"
    assert refused(lambda: backfill(flyte, begin, far, version, id="Not An Id")) == "INVALID_ARGUMENT"
    taken = backfill(flyte, begin, begin + timedelta(days=1), version, id="taken")
    assert refused(lambda: backfill(flyte, begin, begin + timedelta(days=2), version, id="taken")) == "ALREADY_EXISTS"
    finished(flyte, taken.id)
    cancel = calls.CancelBackfillRequest(project=PROJECT, domain=DOMAIN, id="taken")
    assert refused(lambda: flyte.CancelBackfill(cancel)) == "FAILED_PRECONDITION"


def test_the_tables_are_the_same_when_they_are_made_anew(command: Command, flyte: Calls) -> None:
    assert flyte.ListSchedules(calls.ListSchedulesRequest(limit=1)).schedules
    (rebuilt,) = as_json(command, "rebuild", "schedules")
    assert rebuilt["equal"], rebuilt
    assert {table["table"] for table in rebuilt["tables"]} == {"schedules", "backfills", "ticks"}
