"""What happens between two answers: the watch is faster than the API, an answer is lost, a name is somebody else's."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from flightlog_log import Subject
from flightlog_protos.execution.v1.facts_pb2 import AttemptAborting, AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused, ApiUnreachable
from services.k8s_launcher.kubernetes.attempts import Attempt
from services.k8s_launcher.kubernetes.objects import POD, Kind, Object
from services.k8s_launcher.orders import Order, Orders
from services.k8s_launcher.runtime import Origin, Scheduled
from services.k8s_launcher.shell import Observer
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching

QUEUED, RUNNING, EXITED = AttemptObserved.QUEUED, AttemptObserved.RUNNING, AttemptObserved.EXITED
FAILED, KILLED, NOT_LAUNCHED = AttemptObserved.FAILED, AttemptObserved.KILLED, AttemptObserved.NOT_LAUNCHED
BARE = {"containers": [{"name": "c", "image": "i"}], "schedulerName": "nobody"}
Create = Callable[[Kind, str | None, Object], Awaitable[Object]]


class Between:
    """The real API; what a launcher is answered when it makes a pod, or removes an object, a test decides."""

    def __init__(self, api: Api) -> None:
        self.tried: Counter[str] = Counter()
        self.create_pod: Create = api.create
        self.delete: Callable[..., Awaitable[Object]] = api.delete
        self._api = api

    async def create(self, kind: Kind, namespace: str | None, manifest: Object, **options: Any) -> Object:
        self.tried[manifest["metadata"]["name"]] += 1
        if kind == POD:
            return await self.create_pod(kind, namespace, manifest)
        return await self._api.create(kind, namespace, manifest, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)


async def test_a_late_answer_of_a_create_takes_nothing_back(launching: Launching) -> None:
    between: Any = Between(launching.api)
    answered = asyncio.Event()

    async def slow(kind: Kind, namespace: str | None, manifest: Object) -> Object:
        made = await launching.api.create(kind, namespace, manifest)
        await answered.wait()
        return made

    between.create_pod = slow
    async with launching.launcher(api=between, launching={"creates_at_once": 1}):
        fact = await launching.schedule()
        await until(lambda: launching.pod(fact))
        await launching.runs(fact)
        answered.set()
        # Its turn is over when the next one's begins.
        await launching.until(await launching.schedule(), QUEUED)
        await launching.succeeds(fact)
        await launching.end(fact)
    stages = await launching.stages(fact)
    assert set(stages[stages.index("RUNNING") :]) == {"RUNNING", "EXITED"}


def answer_lost(launching: Launching, lose: asyncio.Event) -> Create:
    async def lost(kind: Kind, namespace: str | None, manifest: Object) -> Object:
        await launching.api.create(kind, namespace, manifest)
        await lose.wait()
        raise ApiUnreachable("the answer was lost")

    return lost


async def test_a_lost_answer_does_not_matter_once_the_watch_told_of_the_pod(launching: Launching) -> None:
    between: Any = Between(launching.api)
    lose = asyncio.Event()
    between.create_pod = answer_lost(launching, lose)
    async with launching.launcher(api=between, launching={"creates_at_once": 1}):
        fact = await launching.schedule()
        await launching.runs(fact)
        lose.set()
        await launching.until(await launching.schedule(), QUEUED)
        await launching.succeeds(fact)
        assert (await launching.end(fact)).stage == EXITED
    assert "WAITING_FOR_RESOURCES" not in await launching.stages(fact)
    assert between.tried[fact.generated_name] == 1


async def test_a_pod_that_came_and_went_before_the_answer_was_lost_is_not_made_again(launching: Launching) -> None:
    between: Any = Between(launching.api)
    lose = asyncio.Event()
    between.create_pod = answer_lost(launching, lose)
    async with launching.launcher(api=between, launching={"creates_at_once": 1}):
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.api.delete(POD, launching.namespace, fact.generated_name, grace_seconds=0)
        assert (await launching.end(fact)).stage == FAILED
        lose.set()
        await launching.until(await launching.schedule(), QUEUED)
        await launching.until(await launching.schedule(), QUEUED)
    assert between.tried[fact.generated_name] == 1
    assert await launching.pod(fact) is None


async def test_an_abort_while_an_answer_is_lost_leaves_no_pod(launching: Launching) -> None:
    between: Any = Between(launching.api)
    lose = asyncio.Event()
    between.create_pod = answer_lost(launching, lose)
    async with launching.launcher(api=between):
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.abort(fact)

        async def abort_is_kept() -> bool:
            return any(order.aborting for order in await launching.kept())

        await until(abort_is_kept)
        lose.set()
        assert (await launching.end(fact)).stage == KILLED
        await until(lambda: gone(launching, fact))


async def gone(launching: Launching, fact: AttemptScheduled) -> bool:
    return await launching.pod(fact) is None


async def test_an_abort_leaves_a_stranger_of_that_name_alone(launching: Launching) -> None:
    fact = await launching.attempt()
    stranger = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": fact.generated_name}, "spec": BARE}
    made = await launching.api.create(POD, launching.namespace, stranger)
    between: Any = Between(launching.api)

    async def lost(kind: Kind, namespace: str | None, manifest: Object) -> Object:
        raise ApiUnreachable("nobody knows whether it was made")

    between.create_pod = lost
    async with launching.launcher(api=between):
        await launching.append(fact.execution_id.name, fact)
        await launching.until(fact, AttemptObserved.WAITING_FOR_RESOURCES)
        await launching.abort(fact)
        assert (await launching.end(fact)).stage == KILLED
    found = await launching.pod(fact)
    assert found is not None
    assert (found["metadata"]["uid"], found["metadata"].get("deletionTimestamp")) == (made["metadata"]["uid"], None)


async def test_a_pod_of_another_installation_is_not_waited_for(launching: Launching) -> None:
    """It has all marks of the attempt, but no watch of ours ever tells of it."""
    fact = await launching.attempt()

    async def lost(*_: object) -> None:
        await asyncio.Event().wait()

    async with launching.launcher(report=lost, instance="another"):
        await launching.append(fact.execution_id.name, fact)
        await until(lambda: launching.pod(fact))
    async with launching.launcher():
        ended = await launching.end(fact)
    assert (ended.stage, ended.error.code, ended.recoverable) == (NOT_LAUNCHED, "ObjectNameTaken", True)
    assert await launching.pod(fact) is not None


async def test_a_history_that_cannot_be_read_is_the_concern_of_its_execution_alone(launching: Launching) -> None:
    async with launching.launcher():
        spoilt, gone_meanwhile, other = [await launching.schedule() for _ in range(3)]
        for fact in (spoilt, gone_meanwhile, other):
            await launching.runs(fact)
    client = launching.log._connection.client  # pyright: ignore[reportPrivateUsage]
    for fact in (spoilt, gone_meanwhile):
        subject = Subject.of("LAUNCHER", launching.project, "d", fact.execution_id.name)
        await client.jetstream().publish(str(subject), b"garbage")
    await launching.api.delete(POD, launching.namespace, gone_meanwhile.generated_name, grace_seconds=0)
    async with launching.launcher():
        for fact in (spoilt, other):
            await launching.succeeds(fact)
        await launching.end(other)

        async def nothing_is_kept() -> bool:
            return not await launching.kept()

        await until(nothing_is_kept)
    # What nobody knows of is not started a second time.
    assert await launching.pods() == sorted([spoilt.generated_name, other.generated_name])


async def test_a_namespace_that_never_comes_is_asked_for_now_and_then_and_fails_all_that_waited(
    launching: Launching,
) -> None:
    asked = 0

    async def not_ours(project: str, domain: str) -> None:
        nonlocal asked
        asked += 1

    patience = {"creates_at_once": 1, "patience_minutes": 1 / 60, "backoff_first_seconds": 0.2}
    async with launching.launcher(
        make_namespace=not_ours,
        namespace_template="{project}-{domain}-never",
        launching={**patience, "backoff_longest_seconds": 0.5},
    ):
        facts = [await launching.attempt() for _ in range(4)]
        for fact in facts:
            await launching.append(fact.execution_id.name, fact)
        for fact in facts:
            ended = await launching.end(fact)
            assert (ended.stage, ended.error.code) == (NOT_LAUNCHED, "RuntimeFailure")
    # One of them is tried for all: twice at once, then after 0.2, 0.4, 0.5 s and so on, less often when the API is
    # slow. When it has waited for long enough, so have the others, which are tried once.
    assert asked <= 7 + 3


async def test_all_that_wait_are_told_why_though_one_is_tried_for_all(launching: Launching) -> None:
    between: Any = Between(launching.api)

    async def busy(kind: Kind, namespace: str | None, manifest: Object) -> Object:
        raise ApiRefused(429, "TooManyRequests", "Too many requests, please try again later.")

    between.create_pod = busy
    async with launching.launcher(api=between, launching={"creates_at_once": 1}):
        for fact in [await launching.schedule() for _ in range(4)]:
            assert "Too many requests" in (await launching.until(fact, AttemptObserved.WAITING_FOR_RESOURCES)).reason


async def test_an_object_that_cannot_be_made_holds_nobody_back(launching: Launching) -> None:
    between: Any = Between(launching.api)
    bad = await launching.attempt()

    async def webhook_fails(kind: Kind, namespace: str | None, manifest: Object) -> Object:
        if manifest["metadata"]["name"] == bad.generated_name:
            raise ApiRefused(500, "InternalError", 'failed calling webhook "w": it does not like this pod')
        return await launching.api.create(kind, namespace, manifest)

    between.create_pod = webhook_fails
    async with launching.launcher(api=between, launching={"creates_at_once": 1}):
        await launching.append(bad.execution_id.name, bad)
        await launching.until(bad, AttemptObserved.WAITING_FOR_RESOURCES)
        for fact in [await launching.schedule() for _ in range(3)]:
            await launching.until(fact, QUEUED)


async def test_of_attempts_that_have_ended_nothing_is_kept(launching: Launching) -> None:
    """Whether they were ordered while a launcher worked, or before it had listed what there is."""
    goes_on, before = await launching.attempt(), await launching.attempt()
    for fact in (goes_on, before):
        scheduled = Scheduled(fact, Origin("event", "correlation"))
        await Orders(launching.log).keep(Order(scheduled.key, scheduled))
    async with launching.launcher():
        facts = [before, *[await launching.schedule() for _ in range(5)]]
        for fact in facts:
            await launching.runs(fact)
            await launching.succeeds(fact)
        for fact in facts:
            await launching.end(fact)

        async def one_is_left() -> bool:
            return len(await launching.kept()) == 1

        await until(one_is_left)

        def attempts() -> list[str]:
            gc.collect()
            found = [each for each in gc.get_objects() if isinstance(each, Attempt)]
            return [each.name for each in found if each.key.project == launching.project]

        await until(lambda: attempts() == [goes_on.generated_name])


async def test_many_that_are_to_end_at_once_leave_connections_to_others(launching: Launching) -> None:
    between: Any = Between(launching.api)
    under_way: list[int] = []
    free = asyncio.Event()

    async def slow(kind: Kind, namespace: str | None, name: str, **options: Any) -> Object:
        under_way.append(under_way[-1] + 1 if under_way else 1)
        if under_way[-1] == 16:
            free.set()
        await free.wait()
        found = await launching.api.delete(kind, namespace, name, **options)
        under_way.append(under_way[-1] - 1)
        return found

    between.delete = slow
    async with launching.launcher(api=between):
        execution = "e" + launching.project
        facts = [await launching.attempt(execution=execution, node=f"n{number}") for number in range(40)]
        await launching.append(execution, *facts)
        for fact in facts:
            await launching.until(fact, QUEUED)
        aborts = [AttemptAborting(node_id=fact.node_id, attempt=0, reason="enough") for fact in facts]
        await launching.append(execution, *aborts)
        for fact in facts:
            assert (await launching.end(fact)).stage == KILLED
    assert max(under_way) == 16


async def test_what_cannot_be_removed_keeps_nothing_else(launching: Launching) -> None:
    between: Any = Between(launching.api)
    async with launching.launcher():
        facts = [await launching.schedule() for _ in range(3)]
        for fact in facts:
            await launching.runs(fact)
    for order in await launching.kept():
        await Orders(launching.log).drop(order)
    for fact in facts:
        await launching.succeed(fact.execution_id.name)
    stuck: list[str] = []

    async def refuses_the_first(kind: Kind, namespace: str | None, name: str, **options: Any) -> Object:
        if not stuck:
            stuck.append(name)
        if name in stuck:
            raise ApiRefused(403, "Forbidden", "not this one")
        return await launching.api.delete(kind, namespace, name, **options)

    between.delete = refuses_the_first
    async with launching.launcher(api=between):

        async def others_are_gone() -> bool:
            return bool(stuck) and await launching.pods() == stuck

        await until(others_are_gone)


async def test_two_things_said_of_an_attempt_at_one_version_are_both_kept(launching: Launching) -> None:
    """Two launchers that lead at once, for a moment, count alike; an end must not be taken for what the other said."""
    fact = await launching.attempt()
    observer = Observer(launching.log)
    for stage in (RUNNING, EXITED, EXITED):
        observed = AttemptObserved(
            execution_id=fact.execution_id, node_id=fact.node_id, attempt=0, version=7, stage=stage
        )
        observed.occurred_at.GetCurrentTime()
        await observer.report(observed, Origin("event", "correlation"))
    assert await launching.stages(fact) == ["RUNNING", "EXITED"]
