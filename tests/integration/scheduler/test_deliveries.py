"""Deliveries on a real log, to real receivers that fail, hang, recover; and senders that die."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flightlog_blobs import BlobStore
from flightlog_log import Log, LogSettings, LogUnavailable, Recorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryFailed, DeliveryParked, DeliveryQueued
from services.scheduler.deliveries import delivery
from services.scheduler.deliveries.delivery import Outcome, Policy, State
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.sending import Sender
from services.scheduler.deliveries.webhook import HttpSink
from tests.integration.scheduler.delivering import (
    CAUSE,
    LATER_SECRET,
    SECRET,
    SOON,
    Execution,
    heard_of,
    history,
    hook,
    sending,
    settled,
    stamp,
)
from tests.integration.scheduler.receivers import (
    Receiver,
    answering,
    fine,
    hanging,
    hanging_up,
    web_server,
)


class Dying(Log):
    """A connection that breaks when something is to be recorded."""

    async def append(self, *arguments: Any, **named: Any) -> Recorded:
        raise LogUnavailable("the process died here")


async def test_what_fails_hangs_and_breaks_arrives_in_order_signed_and_under_one_id(
    log: Log, receiver: Receiver
) -> None:
    webhook = hook(receiver.url, phases=["QUEUED", "RUNNING", "SUCCEEDED"], secrets=[SECRET, LATER_SECRET])
    _, following = heard_of(log, webhook)
    receiver.answers = [
        answering(500),
        hanging,
        fine,
        hanging_up,
        answering(429, **{"Retry-After": "0"}),
        fine,
        hanging,
    ]
    execution = Execution(log)
    async with sending(log, HttpSink(webhook)):
        for recorded in await execution.runs():
            await following.take(recorded)
        await receiver.until(lambda: len(receiver.taken) >= 3)
        await settled(log, execution.queue(webhook.name), 3)
    documents = [json.loads(post.body) for post in receiver.taken]
    assert [document["type"] for document in documents] == [
        f"flightlog.execution.{phase}" for phase in ("queued", "running", "succeeded")
    ]
    assert [post.id for post in receiver.taken] == [document["id"] for document in documents]
    tried = [post.id for post in receiver.posts]
    first, second, third = dict.fromkeys(tried)
    assert tried == [first] * 3 + [second] * 3 + [third] * 2
    assert all(post.signed_by(SECRET) and post.signed_by(LATER_SECRET) for post in receiver.posts)
    assert all(post.headers["Content-Type"].startswith("application/cloudevents+json") for post in receiver.posts)
    reasons = [
        fact.reason
        for fact in await history(log, execution.queue(webhook.name))
        if isinstance(fact, DeliveryFailed | DeliveryParked)
    ]
    assert reasons[:2] == ["answered 500", "no answer within 0.3 s"]


async def test_the_same_envelope_twice_is_one_delivery(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url)
    _, following = heard_of(log, webhook)
    *_, end = await (execution := Execution(log)).runs()
    for _ in range(3):
        await following.take(end)
    async with sending(log, HttpSink(webhook)):
        await settled(log, execution.queue(webhook.name))
    assert len(receiver.posts) == 1


async def test_a_later_event_that_is_taken_first_is_not_told_first(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url, phases=["QUEUED", "RUNNING", "SUCCEEDED"])
    _, following = heard_of(log, webhook)
    execution = Execution(log)
    for recorded in reversed(await execution.runs()):
        await following.take(recorded)
    async with sending(log, HttpSink(webhook)):
        await settled(log, execution.queue(webhook.name), 3)
    assert [json.loads(post.body)["data"]["phase"] for post in receiver.posts] == ["QUEUED", "RUNNING", "SUCCEEDED"]


async def test_what_was_before_the_beginning_is_not_told_with_what_came_after(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url, phases=["QUEUED", "RUNNING", "SUCCEEDED"])
    _, following = heard_of(log, webhook)
    execution = Execution(log)
    records = await execution.runs()
    following._after = records[0].sequence  # pyright: ignore[reportPrivateUsage]
    async with sending(log, HttpSink(webhook)):
        for recorded in (records[0], records[2]):
            await following.take(recorded)
        await settled(log, execution.queue(webhook.name), 2)
    assert [json.loads(post.body)["data"]["phase"] for post in receiver.posts] == ["RUNNING", "SUCCEEDED"]


async def test_one_that_never_started_is_told_of_with_who_stopped_it(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url, phases=["RUNNING", "ABORTED"])
    deaf = hook(receiver.url, phases=["ABORTED"], projects=["another"])
    _, following = heard_of(log, webhook, deaf)
    execution = Execution(log)
    await execution.says(execution.created)
    await execution.says(facts.ExecutionWaiting(limits=["key/gpu"], occurred_at=stamp()))
    ended = await execution.says(
        facts.AbortRequested(cause="enough", principal="ada", occurred_at=stamp()),
        facts.ExecutionAborted(queued=True, occurred_at=stamp()),
    )
    async with sending(log, HttpSink(webhook)):
        await following.take(ended)
        await settled(log, execution.queue(webhook.name))
    (post,) = receiver.posts
    data = json.loads(post.body)["data"]
    assert (data["phase"], data["abort"]) == ("ABORTED", {"cause": "enough", "principal": "ada"})
    assert not await history(log, execution.queue(deaf.name))


async def test_an_end_is_not_passed_over_because_a_replica_lags(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = hook("http://127.0.0.1:9")
    _, following = heard_of(log, webhook)
    execution = Execution(log)
    records = await execution.runs()

    async def lagging(_: object) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(log, "first", lagging)
        with pytest.raises(LogUnavailable):
            await following.take(records[-1])
    await following.take(records[-1])
    assert len((await Queues(log).queue(execution.queue(webhook.name))).items) == 1


async def test_a_sink_that_chokes_on_something_parks_it(log: Log, receiver: Receiver) -> None:
    class Choking(HttpSink):
        async def send(self, queued: DeliveryQueued, reached: frozenset[str]) -> Outcome:
            if queued.event == "running":
                raise RuntimeError(f"cannot swallow {SECRET}")
            return await super().send(queued, reached)

    webhook = hook(receiver.url, phases=["RUNNING", "SUCCEEDED"])
    _, following = heard_of(log, webhook)
    execution = Execution(log)
    async with sending(log, Choking(webhook)):
        for recorded in await execution.runs():
            await following.take(recorded)
        states = await settled(log, execution.queue(webhook.name), 2)
    assert sorted(state.value for state in states.values()) == ["delivered", "parked"]
    assert "RuntimeError: cannot swallow ***" in str(await history(log, execution.queue(webhook.name)))


async def test_a_receiver_that_hangs_holds_up_no_other_sink(log: Log, receiver: Receiver) -> None:
    released = asyncio.Event()

    async def slow(request: Any) -> Any:
        await released.wait()
        return await fine(request)

    async with web_server() as sluggish:
        sluggish.answers = [slow] * 5
        late, quick = hook(sluggish.url, at_once=1, timeout_seconds=60), hook(receiver.url, at_once=1)
        _, following = heard_of(log, late, quick)
        executions = [Execution(log) for _ in range(5)]
        async with sending(log, HttpSink(late), HttpSink(quick)):
            for execution in executions:
                for recorded in await execution.runs():
                    await following.take(recorded)
            await receiver.until(lambda: len(receiver.taken) == 5)
            await sluggish.until(lambda: len(sluggish.posts) == 1)
            released.set()
            await sluggish.until(lambda: len(sluggish.taken) == 5)
            for execution in executions:
                await settled(log, execution.queue(late.name))


async def test_what_is_refused_is_parked_lets_others_go_on_and_is_retried_when_asked(
    log: Log, receiver: Receiver
) -> None:
    webhook = hook(receiver.url, phases=["RUNNING", "SUCCEEDED"])
    _, following = heard_of(log, webhook)
    receiver.answers = [answering(404, f"no such hook; you sent {SECRET}")]
    execution = Execution(log)
    key = execution.queue(webhook.name)
    async with sending(log, HttpSink(webhook)) as queues:
        for recorded in await execution.runs():
            await following.take(recorded)
        states = await settled(log, key, 2)
        assert sorted(state.value for state in states.values()) == ["delivered", "parked"]
        (parked,) = delivery.parked(await queues.queue(key))
        await queues.retry(key, [parked], CAUSE)
        assert set((await settled(log, key, 2)).values()) == {State.DELIVERED}
    assert [json.loads(post.body)["data"]["phase"] for post in receiver.taken] == ["SUCCEEDED", "RUNNING"]
    assert {post.id for post in receiver.posts} == set(states)
    (reason,) = [fact.reason for fact in await history(log, key) if isinstance(fact, DeliveryFailed | DeliveryParked)]
    assert reason == "answered 404: no such hook; you sent ***"


async def test_redirects_are_not_followed_and_secrets_stay_secret(log: Log, receiver: Receiver) -> None:
    port = receiver.url.split(":")[2].removesuffix("/hook")
    webhook = hook(f"http://me:hunter22@127.0.0.1:{port}/hook?token=T0K3N", headers={"x-key": "hunter33"})
    _, following = heard_of(log, webhook)
    receiver.answers = [answering(302, "hunter22 hunter33 T0K3N", Location=receiver.url)]
    execution = Execution(log)
    key = execution.queue(webhook.name)
    async with sending(log, HttpSink(webhook)):
        for recorded in await execution.runs():
            await following.take(recorded)
        assert set((await settled(log, key)).values()) == {State.PARKED}
    assert len(receiver.posts) == 1
    assert receiver.posts[0].headers["x-key"] == "hunter33"
    written = str(await history(log, key))
    assert "redirects are not followed" in written
    assert not any(secret in written for secret in ("hunter22", "hunter33", "T0K3N"))


async def test_nobody_listening_is_tried_until_the_limit_then_parked(log: Log) -> None:
    async with web_server() as gone:
        pass
    webhook = hook(gone.url)
    _, following = heard_of(log, webhook)
    execution = Execution(log)
    key = execution.queue(webhook.name)
    async with sending(log, HttpSink(webhook)):
        for recorded in await execution.runs():
            await following.take(recorded)
        assert set((await settled(log, key)).values()) == {State.PARKED}
    said = await history(log, key)
    assert [fact.DESCRIPTOR.name for fact in said] == ["DeliveryQueued", *["DeliveryFailed"] * 7, "DeliveryParked"]
    assert all(
        "ClientConnectorError" in fact.reason for fact in said if isinstance(fact, DeliveryFailed | DeliveryParked)
    )


async def test_a_sender_that_dies_before_it_could_record_sends_again_under_the_same_id(
    log: Log, log_settings: LogSettings, blobs: BlobStore, receiver: Receiver
) -> None:
    webhook = hook(receiver.url, phases=["RUNNING", "SUCCEEDED"])
    _, following = heard_of(log, webhook)
    execution = Execution(log)
    key = execution.queue(webhook.name)
    for recorded in await execution.runs():
        await following.take(recorded)
    dying = await Dying.connect(log_settings, blobs, name="test")
    sink = HttpSink(webhook)
    with pytest.raises(LogUnavailable):
        await Sender(dying, Queues(dying), sink, SOON).work_off(key, CAUSE, datetime.now(UTC))
    await sink.close()
    await dying.close()
    async with sending(log, HttpSink(webhook)):
        assert set((await settled(log, key, 2)).values()) == {State.DELIVERED}
    first, second, third = (post.id for post in receiver.posts)
    assert first == second != third


async def test_two_senders_at_once_deliver_all_in_order(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url, phases=["QUEUED", "RUNNING", "SUCCEEDED"])
    _, following = heard_of(log, webhook)
    executions = [Execution(log) for _ in range(4)]
    async with sending(log, HttpSink(webhook)), sending(log, HttpSink(webhook)):
        for execution in executions:
            for recorded in await execution.runs():
                await following.take(recorded)
        for execution in executions:
            assert set((await settled(log, execution.queue(webhook.name), 3)).values()) == {State.DELIVERED}
    for execution in executions:
        told = [json.loads(post.body) for post in receiver.taken]
        own = [one["data"]["phase"] for one in told if one["data"]["execution"]["name"] == execution.id.name]
        assert list(dict.fromkeys(own)) == ["QUEUED", "RUNNING", "SUCCEEDED"]


async def test_the_next_try_waits_for_its_time(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url)
    _, following = heard_of(log, webhook)
    receiver.answers = [answering(503, **{"Retry-After": "3600"})]
    execution = Execution(log)
    key = execution.queue(webhook.name)
    for recorded in await execution.runs():
        await following.take(recorded)
    now = datetime.now(UTC)
    sink, queues = HttpSink(webhook), Queues(log, lambda: now)
    sender = Sender(log, queues, sink, Policy(), lambda: now)
    for ahead, posts in ((0, 1), (3599, 1), (3600, 2)):
        await sender.work_off(key, CAUSE, now + timedelta(seconds=ahead))
        assert len(receiver.posts) == posts
    await sink.close()
    assert delivery.head(await queues.queue(key)) is None
