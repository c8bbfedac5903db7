"""Attempts on a real cluster, from their orders to the reports of their ends (k8s-contract T37, T47, T48, T65-T71)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flyteidl.core import execution_pb2

from flightlog_log import Subject
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import EVENT, POD
from services.k8s_launcher.orders import Order, Orders
from services.k8s_launcher.runtime import AttemptKey, Origin, Scheduled
from services.k8s_launcher.shell import Launcher
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching, task

QUEUED, RUNNING = AttemptObserved.QUEUED, AttemptObserved.RUNNING
EXITED, FAILED, KILLED = AttemptObserved.EXITED, AttemptObserved.FAILED, AttemptObserved.KILLED
ORIGIN = Origin("event", "correlation")
SYSTEM = execution_pb2.ExecutionError.SYSTEM


async def no_orders(launching: Launching) -> bool:
    return not await launching.kept()


async def test_pod_is_made_followed_and_its_success_reported(launching: Launching) -> None:
    """T37, T47 and T48."""
    async with launching.launcher():
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.succeeds(fact)
        ended = await launching.end(fact)
        assert (ended.stage, ended.exit.code) == (EXITED, 0)
        await until(lambda: no_orders(launching))
    seen = await launching.observed(fact)
    assert seen[0].stage == QUEUED
    assert seen[0].reason == "task submitted to K8s"
    assert [item.version for item in seen] == sorted({item.version for item in seen})
    assert {item.plugin for item in seen} == {"container"}
    assert await launching.pods() == [fact.generated_name]


async def test_deleted_pod_is_reported_at_once_as_nobodys_fault(launching: Launching) -> None:
    """T65."""
    async with launching.launcher():
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.api.delete(POD, launching.namespace, fact.generated_name, grace_seconds=0)
        ended = await launching.end(fact)
    assert (ended.stage, ended.error.kind, ended.recoverable) == (FAILED, SYSTEM, True)
    assert ended.error.code in ("ResourceDeletedExternally", "UnexpectedObjectDeletion")


async def test_pod_that_is_to_be_deleted_is_not_waited_for(launching: Launching) -> None:
    """T66."""
    async with launching.launcher():
        fact = await launching.schedule()
        await launching.runs(fact)
        finalizers = {"metadata": {"finalizers": ["flightlog.test/hold"]}}
        await launching.api.patch(POD, launching.namespace, fact.generated_name, finalizers)
        await launching.api.delete(POD, launching.namespace, fact.generated_name, grace_seconds=0)
        ended = await launching.end(fact)
        assert (ended.error.code, ended.error.kind) == ("UnexpectedObjectDeletion", SYSTEM)
        assert await launching.pod(fact) is not None
        await launching.api.patch(POD, launching.namespace, fact.generated_name, {"metadata": {"finalizers": None}})


async def test_pod_that_succeeded_has_succeeded_though_it_is_being_deleted(launching: Launching) -> None:
    """T67."""
    fact = await launching.attempt()
    async with launching.launcher():
        await launching.append(fact.execution_id.name, fact)
        await launching.runs(fact)
    finalizers = {"metadata": {"finalizers": ["flightlog.test/hold"]}}
    await launching.api.patch(POD, launching.namespace, fact.generated_name, finalizers)
    await launching.succeeds(fact)
    await launching.api.delete(POD, launching.namespace, fact.generated_name, grace_seconds=0)
    async with launching.launcher():
        assert (await launching.end(fact)).stage == EXITED
    await launching.api.patch(POD, launching.namespace, fact.generated_name, {"metadata": {"finalizers": None}})


async def test_successor_follows_what_runs_and_reports_what_ended_meanwhile(launching: Launching) -> None:
    async with launching.launcher():
        runs, ends, goes = [await launching.schedule() for _ in range(3)]
        for fact in (runs, ends, goes):
            await launching.runs(fact)
    said = {fact.generated_name: await launching.stages(fact) for fact in (runs, ends, goes)}
    await launching.succeeds(ends)
    await launching.api.delete(POD, launching.namespace, goes.generated_name, grace_seconds=0)
    async with launching.launcher():
        assert (await launching.end(ends)).stage == EXITED
        lost = await launching.end(goes)
        assert (lost.error.code, lost.error.kind) == ("ResourceDeletedExternally", SYSTEM)
        # It was said already how this one goes.
        assert await launching.stages(runs) == said[runs.generated_name]
        await launching.succeeds(runs)
        assert (await launching.end(runs)).stage == EXITED
    for fact in (runs, ends, goes):
        versions = [item.version for item in await launching.observed(fact)]
        assert versions == sorted(set(versions))
    assert await launching.pods() == sorted([runs.generated_name, ends.generated_name])


async def test_launcher_that_died_right_after_the_create_makes_no_second_pod(launching: Launching) -> None:
    """T71."""
    fact = await launching.attempt()

    async def lost(*_: object) -> None:
        await asyncio.Event().wait()

    async with launching.launcher(report=lost):
        await launching.append(fact.execution_id.name, fact)
        made = await until(lambda: launching.pod(fact))
    assert await launching.observed(fact) == []
    async with launching.launcher():
        await launching.runs(fact)
        found = await launching.pod(fact)
        assert made is not None
        assert found is not None
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        await launching.succeeds(fact)
        assert (await launching.end(fact)).stage == EXITED


async def test_order_that_was_kept_and_not_carried_out_is_carried_out(launching: Launching) -> None:
    fact = await launching.attempt()
    scheduled = Scheduled(fact, ORIGIN)
    await Orders(launching.log).keep(Order(scheduled.key, scheduled))
    async with launching.launcher():
        await launching.runs(fact)


async def test_two_launchers_at_once_make_one_pod_each(launching: Launching) -> None:
    facts = [await launching.attempt() for _ in range(8)]
    async with launching.launcher() as one, launching.launcher() as other:
        await asyncio.gather(*(runtime.launch(Scheduled(fact, ORIGIN)) for runtime in (one, other) for fact in facts))
        for fact in facts:
            await launching.runs(fact)
            await launching.succeeds(fact)
            assert (await launching.end(fact)).stage == EXITED
    assert await launching.pods() == sorted(fact.generated_name for fact in facts)


async def test_object_of_that_name_that_is_somebody_elses_is_left_alone(launching: Launching) -> None:
    fact = await launching.attempt()
    stranger = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": fact.generated_name},
        "spec": {"containers": [{"name": "c", "image": "i"}], "schedulerName": "nobody"},
    }
    made = await launching.api.create(POD, launching.namespace, stranger)
    async with launching.launcher():
        await launching.append(fact.execution_id.name, fact)
        ended = await launching.end(fact)
        assert (ended.stage, ended.error.code) == (AttemptObserved.NOT_LAUNCHED, "ObjectNameTaken")
        await launching.abort(fact)
        await until(lambda: no_orders(launching))
    found = await launching.pod(fact)
    assert found is not None
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert not found["metadata"].get("deletionTimestamp")


async def test_aborted_attempt_is_deleted_and_reported(launching: Launching) -> None:
    """T69."""
    async with launching.launcher():
        pending, running = await launching.schedule(), await launching.schedule()
        await launching.until(pending, QUEUED)
        await launching.runs(running)
        for fact in (pending, running):
            await launching.abort(fact, "changed my mind")
            ended = await launching.end(fact)
            assert (ended.stage, ended.reason) == (KILLED, "changed my mind")
        await until(lambda: no_orders(launching))
        await until(lambda: nothing_is_left(launching))


async def nothing_is_left(launching: Launching) -> bool:
    return not await launching.pods()


async def test_abort_that_came_while_nobody_led_is_carried_out(launching: Launching) -> None:
    async with launching.launcher():
        fact = await launching.schedule()
        await launching.runs(fact)
    await launching.abort(fact)
    async with launching.launcher():
        assert (await launching.end(fact)).stage == KILLED
        await until(lambda: nothing_is_left(launching))


async def test_abort_of_what_was_ordered_meanwhile_makes_nothing(launching: Launching) -> None:
    fact = await launching.schedule()
    await launching.abort(fact)
    async with launching.launcher():
        assert (await launching.end(fact)).stage == KILLED
        await until(lambda: no_orders(launching))
        await until(lambda: nothing_is_left(launching))


async def test_abort_of_an_attempt_nobody_knows_is_answered(launching: Launching) -> None:
    fact = await launching.attempt()
    async with launching.launcher() as runtime:
        key = AttemptKey(launching.project, "d", fact.execution_id.name, "n0", 0)
        await runtime.abort(key, "why not", ORIGIN)
        assert (await launching.end(fact)).stage == KILLED
    assert await launching.kept() == []


async def test_orders_that_come_again_after_their_end_start_nothing(launching: Launching) -> None:
    async with launching.launcher():
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.succeeds(fact)
        await launching.end(fact)
        await until(lambda: no_orders(launching))
    await launching.api.delete(POD, launching.namespace, fact.generated_name, grace_seconds=0)
    said = await launching.stages(fact)
    await launching.log.forget("EXECUTION", launching.durable)
    async with launching.launcher():
        later = await launching.schedule()
        await launching.until(later, QUEUED)
    assert await launching.pods() == [later.generated_name]
    assert await launching.stages(fact) == said


async def test_order_that_is_redriven_after_its_end_starts_nothing(launching: Launching) -> None:
    async with launching.launcher() as runtime:
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.succeeds(fact)
        await launching.end(fact)
        await until(lambda: no_orders(launching))
        await launching.api.delete(POD, launching.namespace, fact.generated_name, grace_seconds=0)
        subject = Subject.of("EXECUTION", launching.project, "d", fact.execution_id.name)
        (recorded,) = await launching.log.load(subject)
        await Launcher(launching.log, runtime).take(replace(recorded, redelivered=True))
        assert await launching.kept() == []
    assert await launching.pods() == []


async def test_attempt_that_ran_before_its_order_was_kept_is_lost_and_not_started(launching: Launching) -> None:
    fact = await launching.attempt()
    async with launching.launcher() as runtime:
        await runtime.launch(Scheduled(fact, ORIGIN), ran=True)
        ended = await launching.end(fact)
        assert (ended.stage, ended.error.code) == (FAILED, "ResourceDeletedExternally")
    assert await launching.pods() == []


async def test_task_without_container_says_what_it_needs(launching: Launching) -> None:
    """T110, of a type that nobody knows with a container."""
    async with launching.launcher():
        unknown = await launching.schedule(task(kind="slurm", container=False))
        ended = await launching.end(unknown)
        assert (ended.stage, ended.error.code) == (AttemptObserved.NOT_LAUNCHED, "TaskTypeUnknown")
        assert "connector" in ended.error.message
        any_type = await launching.schedule(task(kind="foo"))
        await launching.until(any_type, QUEUED)


async def test_what_events_say_about_a_pod_is_told(launching: Launching) -> None:
    async with launching.launcher():
        fact = await launching.schedule()
        await launching.until(fact, QUEUED)
        pod = await launching.pod(fact)
        assert pod is not None
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "one", "namespace": launching.namespace},
            "involvedObject": {
                "kind": "Pod",
                "namespace": launching.namespace,
                "name": fact.generated_name,
                "uid": pod["metadata"]["uid"],
            },
            "reason": "FailedScheduling",
            "message": "0/1 nodes are available",
            "type": "Warning",
        }
        await launching.api.create(EVENT, launching.namespace, event)

        async def told() -> bool:
            return any("0/1 nodes" in item.reason for item in await launching.observed(fact))

        await until(told)
