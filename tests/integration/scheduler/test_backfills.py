"""Backfills on a real log: as many runs at once as they may, each tick once, whatever dies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

from flyteidl.admin.schedule_pb2 import HOUR, CronSchedule, FixedRate, Schedule

from flightlog_log import Log
from flightlog_protos.execution.v1.facts_pb2 import AbortRequested
from flightlog_protos.execution.v1.requests_pb2 import TerminationRequested
from flightlog_protos.scheduler.v1.backfills_pb2 import BackfillRunRequested
from flightlog_protos.scheduler.v1.schedule_service_pb2 import CreateBackfillRequest
from flightlog_rpc import CallContext
from services.execution import subjects as execution_subjects
from services.scheduler.schedules.api.backfills import Backfills
from services.scheduler.schedules.backfill import Progress
from services.scheduler.schedules.commands import CancelBackfill, CreateBackfill
from services.scheduler.schedules.launch_plans import LaunchPlans
from services.scheduler.schedules.projection.queries import Queries
from services.scheduler.subjects import BackfillKey
from tests.integration.scheduler.simulated import DOMAIN, PROJECT, World

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = [BEGIN + timedelta(days=number, hours=3) for number in range(4)]
DAILY = Schedule(cron_schedule=CronSchedule(schedule="0 3 * * *"), kickoff_time_input_arg="when")


async def wanted(world: World) -> CreateBackfill:
    """Four days of a launch plan that nobody has activated, one after another."""
    plan = await world.register(world.name(), "v1", DAILY)
    return CreateBackfill(
        id=f"b{uuid4().hex}",
        launch_plan=plan,
        schedule=DAILY,
        time_zone="UTC",
        begin=BEGIN,
        end=BEGIN + timedelta(days=4),
    )


async def test_fixed_rates_count_from_an_activation_of_just_now(world: World) -> None:
    """The scheduler's consumer may not have heard of it."""
    key = world.name()
    plan = await world.register(key, "v1", Schedule(rate=FixedRate(value=1, unit=HOUR)))
    await world.until(BEGIN + timedelta(days=90, minutes=20))
    await world.activate(plan)
    log, reactions = cast("Log", world.log), world.scheduler.reactions
    calls = Backfills(
        world.scheduler.shell, reactions, LaunchPlans(log), cast("Queries", None), world.settings.policy, 10_000
    )
    request = CreateBackfillRequest(launch_plan=plan)
    getattr(request, "from").FromDatetime(BEGIN)
    request.to.FromDatetime(BEGIN + timedelta(hours=2))
    created = await calls.create(request, CallContext.of((), "ipv4:127.0.0.1:1"))
    (asked,) = await asked_for(world, BackfillKey(PROJECT, DOMAIN, created.backfill.id))
    assert asked == BEGIN + timedelta(minutes=20)


async def asked_for(world: World, key: BackfillKey) -> list[datetime]:
    return [fact.due.ToDatetime(UTC) for fact in await world.history(key) if isinstance(fact, BackfillRunRequested)]


async def progress(world: World, key: BackfillKey) -> Progress:
    found = await world.scheduler.shell.progress(key)
    assert found is not None
    return found


async def test_a_backfill_runs_each_tick_once_wherever_the_services_die(world: World) -> None:
    async def story() -> None:
        command = replace(await wanted(world), end=BEGIN + timedelta(days=2))
        key = await world.backfill(command)
        await world.react()
        assert await world.ticks(key) == DAYS[:2]
        done = await progress(world, key)
        assert (done.succeeded, done.running, done.finished) == (2, (), True)

    # Of each tick: the request, create, start, answer, end.
    assert await world.lives_through(story) >= 2 * 8


async def test_as_many_run_at_once_as_may(world: World) -> None:
    world.lasting = True
    command = await wanted(world)
    key = await world.backfill(replace(command, parallelism=2, reverse=True))
    await world.react()
    assert await world.ticks(key) == DAYS[:1:-1]
    newest, _ = await world.runs(key)
    await world.finish(newest)
    assert await world.ticks(key) == DAYS[:0:-1]
    for name in list(await world.runs(key))[1:]:
        await world.finish(name)
    await world.finish(list(await world.runs(key))[-1])
    done = await progress(world, key)
    assert (done.succeeded, done.finished) == (4, True)


async def test_what_runs_is_terminated_when_a_backfill_is_cancelled(world: World) -> None:
    world.lasting = True
    key = await world.backfill(replace(await wanted(world), parallelism=2))
    await world.react()
    await world.cancel(key, CancelBackfill("too much", terminate=True))
    done = await progress(world, key)
    assert (done.cancelled, done.finished, done.failed, done.running) == (True, True, 2, ())
    stopped = [fact for fact in await world.history(key) if isinstance(fact, TerminationRequested)]
    assert len(stopped) == len(await world.runs(key)) == 2
    for name in await world.runs(key):
        subject = execution_subjects.execution((PROJECT, DOMAIN, name))
        assert subject is not None
        facts = [fact for record in await world.log.load(str(subject)) for fact in record.facts]
        (asked,) = [fact for fact in facts if isinstance(fact, AbortRequested)]
        assert asked.cause == f"backfill {key.id} was cancelled: too much"


async def test_what_has_run_is_run_again_only_when_it_is_to_be_overwritten(world: World) -> None:
    command = await wanted(world)
    first = await world.backfill(command)
    await world.react()
    again = await world.backfill(replace(command, id=f"b{uuid4().hex}"))
    await world.react()
    found = await progress(world, again)
    assert (found.succeeded, found.skipped, found.finished) == (0, 4, True)
    over = await world.backfill(replace(command, id=f"b{uuid4().hex}", overwrite=True))
    await world.react()
    found = await progress(world, over)
    assert (found.succeeded, found.skipped) == (4, 0)
    runs = await world.runs(over)
    assert runs.keys().isdisjoint(await world.runs(first))
    assert all(created.spec.overwrite_cache for created in runs.values())
