"""Schedules over simulated days: each tick makes one execution, whatever dies, and however often it is decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flyteidl.admin.schedule_pb2 import MINUTE, CronSchedule, FixedRate, Schedule

from flightlog_log import Head, Subject
from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested, TerminationRequested
from flightlog_protos.scheduler.v1 import schedules_pb2 as facts
from flightlog_protos.scheduler.v1.alarms_pb2 import ScheduleAlarm
from services.execution import subjects as execution_subjects
from services.scheduler import subjects
from services.scheduler.schedules.commands import Pause, Refused, Resume
from services.scheduler.schedules.naming import tick_name
from services.scheduler.schedules.position import ScheduleKey
from services.scheduler.schedules.ticks import execution_request
from tests.integration.scheduler.simulated import CAUSE, DOMAIN, PROJECT, World

FIRST = datetime(2024, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def hours(*numbers: int) -> list[datetime]:
    return [FIRST + number * HOUR for number in numbers]


async def scheduled(world: World, schedule: Schedule | str, version: str = "v1", **annotations: str) -> ScheduleKey:
    key = world.name()
    await world.activate(await world.register(key, version, schedule, **annotations))
    return key


async def test_a_schedule_ticks_for_a_day(world: World) -> None:
    key = await scheduled(
        world, Schedule(cron_schedule=CronSchedule(schedule="@hourly"), kickoff_time_input_arg="when")
    )
    await world.until(FIRST + DAY)
    runs = await world.runs(key)
    assert await world.ticks(key) == hours(*range(1, 25))
    for name, created in runs.items():
        due = created.spec.metadata.scheduled_at.ToDatetime(UTC)
        assert name == tick_name(key.version("v1"), due)
        assert created.requested_by == str(subjects.schedule(key))
    position = await world.position(key)
    # All of them are over, and the next one is waited for.
    assert (position.running, position.last_due) == ((), FIRST + DAY)
    assert world.log.alarms[str(subjects.alarm(key))][0] == FIRST + DAY + HOUR


async def test_a_fixed_rate_counts_from_its_activation(world: World) -> None:
    world.now = FIRST + timedelta(minutes=3, seconds=20)
    key = await scheduled(world, Schedule(rate=FixedRate(value=10, unit=MINUTE)))
    await world.until(FIRST + HOUR)
    expected = [world_start + timedelta(minutes=3, seconds=20) for world_start in minutes(10, 20, 30, 40, 50)]
    assert await world.ticks(key) == expected


def minutes(*numbers: int) -> list[datetime]:
    return [FIRST + timedelta(minutes=number) for number in numbers]


@pytest.mark.parametrize(
    ("catch_up", "expected"), [("all", range(1, 27)), ("latest", [1, 24, 25, 26]), ("none", [1, 25, 26])]
)
async def test_what_was_missed_in_a_day_of_downtime_is_for_the_policy_to_say(
    world: World, catch_up: str, expected: list[int]
) -> None:
    key = await scheduled(world, "0 * * * *", catch_up=catch_up)
    await world.until(FIRST + HOUR)
    # Nobody was there when the alarms rang; they ring when somebody is.
    world.now = FIRST + DAY + timedelta(minutes=30)
    world.live()
    await world.until(FIRST + DAY + 2 * HOUR)
    assert await world.ticks(key) == hours(*expected)
    skipped = [fact for fact in await world.history(key) if isinstance(fact, facts.TicksSkipped)]
    assert sum(fact.count for fact in skipped) == 26 - len(list(expected))
    assert {fact.reason for fact in skipped} <= {facts.TicksSkipped.MISSED}


async def test_a_clock_that_is_put_back_makes_no_tick_come_again(world: World) -> None:
    key = await scheduled(world, "0 * * * *")
    await world.until(FIRST + 5 * HOUR)
    world.now = FIRST + 2 * HOUR
    for scheduler in world.schedulers:
        await scheduler.reactions.on_stands((await world.log.load(str(subjects.schedule(key))))[-1])
    await world.until(FIRST + 7 * HOUR)
    assert await world.ticks(key) == hours(*range(1, 8))


async def test_an_alarm_that_rings_early_is_armed_again(world: World) -> None:
    """The log's clock is ahead of the scheduler's."""
    key = await scheduled(world, "0 * * * *")
    await world.react()
    due, alarm = world.log.alarms.pop(str(subjects.alarm(key)))
    assert isinstance(alarm, ScheduleAlarm)
    world.now = due - timedelta(milliseconds=1)
    await world.scheduler.reactions.on_alarm(alarm, due)
    assert world.log.alarms[str(subjects.alarm(key))][0] == due
    assert await world.ticks(key) == []
    await world.until(due)
    assert await world.ticks(key) == [due]


async def test_two_schedulers_at_once_make_each_execution_once(world: World) -> None:
    world.replicas = 2
    world.live()
    key = await scheduled(world, "*/10 * * * *")
    await world.until(FIRST + 2 * HOUR)
    assert await world.ticks(key) == minutes(*range(10, 121, 10))
    fired = [fact.due.ToDatetime(UTC) for fact in await world.history(key) if isinstance(fact, facts.TickFired)]
    assert fired == minutes(*range(10, 121, 10))


async def test_ticks_fire_once_wherever_the_services_die(world: World) -> None:
    """Between append and alarm, between the tick and the create, between the create and its answer."""

    async def story() -> None:
        key = await scheduled(world, "0 * * * *")
        await world.until(FIRST + 2 * HOUR)
        assert await world.ticks(key) == hours(1, 2)
        assert (await world.position(key)).running == ()
        assert world.log.alarms[str(subjects.alarm(key))][0] == FIRST + 3 * HOUR

    # Activation, alarm; of each tick: the request, alarm, create, start, answer, end, alarm.
    assert await world.lives_through(story) >= 2 * 12


async def test_a_version_that_is_activated_takes_over(world: World) -> None:
    key = world.name()
    first = await world.register(key, "v1", "0 * * * *")
    second = await world.register(key, "v2", "30 * * * *")
    await world.activate(first)
    await world.until(FIRST + 2 * HOUR)
    await world.activate(second, before=first)
    await world.until(FIRST + 4 * HOUR)
    await world.deactivate(second)
    await world.until(FIRST + 6 * HOUR)
    versions = [created.spec.launch_plan.version for created in (await world.runs(key)).values()]
    assert await world.ticks(key) == [*hours(1, 2), *minutes(150, 210)]
    assert versions == ["v1", "v1", "v2", "v2"]
    assert (await world.position(key)).active is None


async def test_an_activation_that_comes_again_late_does_not_win(world: World) -> None:
    key = world.name()
    first = await world.register(key, "v1", "0 * * * *")
    second = await world.register(key, "v2", "30 * * * *")
    old = await world.activate(first)
    await world.until(FIRST + HOUR)
    new = await world.activate(second, before=first)
    for recorded in (new, old, new, old):
        await world.scheduler.reactions.on_activation(recorded)
    await world.until(FIRST + 3 * HOUR)
    active = (await world.position(key)).active
    assert active is not None
    assert active.launch_plan.version == "v2"
    assert await world.ticks(key) == [*hours(1), *minutes(90, 150)]


async def test_activations_of_a_time_when_nobody_was_there_are_taken_in_as_they_happened(world: World) -> None:
    """What was due before a version was deactivated is its own; nothing of it is due afterwards."""
    key = world.name()
    first = await world.register(key, "v1", "0 * * * *")
    second = await world.register(key, "v2", "30 * * * *")
    await world.activate(first)
    world.now = FIRST + 2 * HOUR + timedelta(minutes=5)
    await world.activate(second, before=first)
    world.now = FIRST + 4 * HOUR
    await world.until(FIRST + 5 * HOUR)
    assert sorted(await world.ticks(key)) == sorted([*hours(1, 2), *minutes(150, 210, 270)])


@pytest.mark.parametrize("overlap", ["allow", "wait"])
async def test_nothing_fires_before_it_is_known_what_the_registry_has_decided(world: World, overlap: str) -> None:
    """After downtime the alarm and the end of a run may come before the deactivation from the time in between."""
    world.lasting = True
    key = await scheduled(world, "0 * * * *", overlap=overlap)
    await world.until(FIRST + 2 * HOUR)
    (first, *_) = list(await world.runs(key))
    before = await world.runs(key)
    await world.deactivate(key.version("v1"))
    world.now = FIRST + DAY
    world.live()
    if overlap == "wait":
        await world.end(first)
        subject = execution_subjects.execution((PROJECT, DOMAIN, first))
        await world.scheduler.reactions.on_end((await world.log.load(str(subject)))[-1])
    else:
        due, alarm = world.log.alarms.pop(str(subjects.alarm(key)))
        assert isinstance(alarm, ScheduleAlarm)
        await world.scheduler.reactions.on_alarm(alarm, due)
    await world.react()
    assert await world.runs(key) == before
    assert (await world.position(key)).active is None


async def test_what_was_decided_about_a_name_is_read_once(world: World) -> None:
    """Whatever is registered with `--activate-launchplans` at every commit, with or without a schedule."""
    key = world.name()
    plan = await world.register(key, "v1", None)
    recorded = [await world.activate(plan) for _ in range(5)]
    for record in recorded:
        await world.scheduler.reactions.on_activation(record)
    assert world.log.loaded.count(str(subjects.activation(key))) == 1
    await world.activate(await world.register(key, "v2", "0 * * * *"), before=plan)
    await world.until(FIRST + HOUR)
    assert await world.ticks(key) == hours(1)


async def test_a_version_without_a_schedule_ends_the_schedule_of_its_name(world: World) -> None:
    key = world.name()
    first = await world.register(key, "v1", "0 * * * *")
    second = await world.register(key, "v2", None)
    await world.activate(first)
    await world.until(FIRST + HOUR)
    await world.activate(second, before=first)
    await world.until(FIRST + 3 * HOUR)
    assert await world.ticks(key) == hours(1)
    assert (await world.position(key)).active is None


async def test_a_name_that_never_had_a_schedule_leaves_no_trace(world: World) -> None:
    key = world.name()
    await world.activate(await world.register(key, "v1", None))
    await world.react()
    assert await world.history(key) == []


@pytest.mark.parametrize(
    ("schedule", "annotations", "reason"),
    [
        ("0 * * * *", {"overlap": "never"}, "flightlog.schedule/overlap"),
        ("0 0 30 2 *", {}, "no day that exists"),
        (Schedule(rate=FixedRate(value=0, unit=MINUTE)), {}, "no next time"),
    ],
)
async def test_what_can_never_tick_says_so(
    world: World, schedule: Schedule | str, annotations: dict[str, str], reason: str
) -> None:
    """The registry refuses most of it; versions that were registered by an earlier release may be so."""
    key = await scheduled(world, schedule, **annotations)
    await world.until(FIRST + DAY)
    position = await world.position(key)
    assert reason in position.refused
    assert position.active is None
    (refused,) = [fact for fact in await world.history(key) if isinstance(fact, facts.ScheduleRefused)]
    assert refused.reason == position.refused
    # Another version puts it right.
    await world.activate(await world.register(key, "v2", "0 * * * *"), before=key.version("v1"))
    await world.until(FIRST + DAY + HOUR)
    assert await world.ticks(key) == [FIRST + DAY + HOUR]
    assert (await world.position(key)).refused == ""


@pytest.mark.parametrize(
    ("overlap", "expected"), [("allow", [1, 2, 3, 4]), ("skip", [1, 4]), ("wait", [1, 2, 3]), ("replace", [1, 2, 3, 4])]
)
async def test_what_a_tick_does_while_an_earlier_run_goes_on(world: World, overlap: str, expected: list[int]) -> None:
    world.lasting = True
    key = await scheduled(world, "0 * * * *", overlap=overlap)
    await world.until(FIRST + 3 * HOUR)
    (first, *_) = list(await world.runs(key))
    if overlap != "replace":
        await world.finish(first)
    if overlap == "wait":
        (second,) = [execution for execution in await world.runs(key) if execution != first]
        await world.finish(second)
    await world.until(FIRST + 4 * HOUR)
    assert await world.ticks(key) == hours(*expected)
    position = await world.position(key)
    if overlap == "wait":
        assert [one.tick.due for one in position.waiting] == hours(4)
    stopped = [fact for fact in await world.history(key) if isinstance(fact, TerminationRequested)]
    assert len(stopped) == (3 if overlap == "replace" else 0)
    assert len(position.running) == (3 if overlap == "allow" else 1)


async def test_a_paused_schedule_lets_ticks_pass(world: World) -> None:
    key = await scheduled(world, "0 * * * *")
    await world.until(FIRST + HOUR)
    await world.tell(key, Pause("maintenance"))
    await world.until(FIRST + 4 * HOUR)
    assert (await world.position(key)).pause_reason == "maintenance"
    await world.tell(key, Resume())
    await world.until(FIRST + 5 * HOUR)
    assert await world.ticks(key) == hours(1, 5)
    (skipped,) = [fact for fact in await world.history(key) if isinstance(fact, facts.TicksSkipped)]
    assert (skipped.count, skipped.reason) == (3, facts.TicksSkipped.PAUSED)


async def test_what_is_not_active_cannot_be_paused(world: World) -> None:
    key = await scheduled(world, "0 * * * *")
    await world.react()
    await world.deactivate(key.version("v1"))
    await world.react()
    with pytest.raises(Refused):
        await world.tell(key, Pause())


async def test_executions_that_cannot_be_created_are_told_and_the_next_tick_comes(world: World) -> None:
    key = await scheduled(world, "0 * * * *")
    await world.until(FIRST + HOUR)
    # Its launch plan is there, its project is another one by then: nobody checks a version again.
    unknown = ScheduleKey("nowhere", DOMAIN, key.name)
    await world.activate(await world.register(unknown, "v1", "0 * * * *"))
    await world.until(FIRST + 3 * HOUR)
    refused = [fact for fact in await world.history(unknown) if isinstance(fact, facts.TickRefused)]
    assert [fact.code for fact in refused] == ["INVALID_ARGUMENT"] * 2
    assert "[nowhere] not found" in refused[0].message
    assert (await world.position(unknown)).running == ()
    assert await world.ticks(key) == hours(1, 2, 3)


async def test_an_execution_that_somebody_else_made_is_not_made_again(world: World) -> None:
    """A scheduler of Flyte's that runs beside this one gives ticks the same names."""
    key = await scheduled(world, "0 * * * *", overlap="skip")
    other = world.name()
    plan = await world.register(other, "v1", "0 * * * *")
    name = tick_name(key.version("v1"), FIRST + HOUR)
    await world.until(FIRST)
    request = execution_request(plan, FIRST + HOUR, name, "")
    asked = [ExecutionRequested(request=request)]
    theirs = Subject.of("SCHEDULER", "schedule", PROJECT, DOMAIN, other.name)
    await world.scheduler.requests.take(await world.log.append(theirs, asked, head=Head.EMPTY, cause=CAUSE))
    await world.until(FIRST + 2 * HOUR)
    runs = await world.runs(key)
    assert runs[name].requested_by != str(subjects.schedule(key))
    existed = [fact for fact in await world.history(key) if isinstance(fact, facts.TickRunExisted)]
    assert [fact.execution_id.name for fact in existed] == [name]
    assert runs[tick_name(key.version("v1"), FIRST + 2 * HOUR)].requested_by == str(subjects.schedule(key))
