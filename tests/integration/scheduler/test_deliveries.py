"""Deliveries on a real log, to real receivers that fail, hang, recover; and senders that die."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flyteidl.admin.common_pb2 import EmailNotification, Notification
from flyteidl.admin.execution_pb2 import NotificationList
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, LogUnavailable, Recorded, Subject
from flightlog_protos.catalog.v1.lineage_pb2 import LineageEventRecorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryFailed
from services.scheduler.deliveries import delivery, subjects
from services.scheduler.deliveries.delivery import Policy, State
from services.scheduler.deliveries.executions import Executions
from services.scheduler.deliveries.lineage import Lineage
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.replaying import Range, Replaying
from services.scheduler.deliveries.sending import Sender
from services.scheduler.deliveries.settings import DeliverySettings, OpenLineageSettings, SmtpSettings, WebhookSettings
from services.scheduler.deliveries.sinks import Sink
from services.scheduler.deliveries.smtp import NO_SERVER, EmailSink
from services.scheduler.deliveries.sources import Following, Source
from services.scheduler.deliveries.subjects import QueueKey
from services.scheduler.deliveries.webhook import HttpSink
from tests.integration.scheduler.receivers import (
    Receiver,
    answering,
    fine,
    hanging,
    hanging_up,
    mail_server,
    web_server,
)

CAUSE = Cause.service("test")
SECRET, LATER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "QUJD" * 10
SOON = Policy(most_tries=8, first_pause=timedelta(milliseconds=20), longest_pause=timedelta(milliseconds=100))
QUEUED, RUNNING, SUCCEEDED = (
    facts.ExecutionCreated.DESCRIPTOR.name,
    facts.ExecutionStarted.DESCRIPTOR.name,
    facts.ExecutionSucceeded.DESCRIPTOR.name,
)


class Dying(Log):
    """A connection that breaks when something is to be recorded."""

    async def append(self, *arguments: Any, **named: Any) -> Recorded:
        raise LogUnavailable("the process died here")


@pytest_asyncio.fixture(loop_scope="session")
async def blobs(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def log(log_settings: LogSettings, blobs: BlobStore) -> AsyncIterator[Log]:
    log = await Log.connect(log_settings, blobs, name="test")
    yield log
    await log.close()


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with web_server() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Of a server that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1))
    ).sign(key, hashes.SHA256())
    file = tmp_path_factory.mktemp("certificate") / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + made.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


def stamp() -> Timestamp:
    found = Timestamp()
    found.FromDatetime(datetime.now(UTC))
    return found


class Execution:
    """An execution's history."""

    def __init__(self, log: Log, *notifications: Notification) -> None:
        self._log = log
        self.id = WorkflowExecutionIdentifier(project="tests", domain="development", name=f"a{uuid4().hex}")
        self.subject = Subject.of("EXECUTION", self.id.project, self.id.domain, self.id.name)
        self._head = Head.EMPTY
        self._created = facts.ExecutionCreated(
            id=self.id, notifications=NotificationList(notifications=notifications), created_at=stamp()
        )

    async def says(self, *said: Message) -> Recorded:
        recorded = await self._log.append(self.subject, said, head=self._head, cause=CAUSE)
        self._head = recorded.head
        return recorded

    async def runs(self, *, fails: str = "") -> list[Recorded]:
        """Its history, from the beginning to the end."""
        end: Message = facts.ExecutionSucceeded(occurred_at=stamp())
        if fails:
            error = ExecutionError(code="Bad", message=fails, kind=ExecutionError.USER)
            end = facts.ExecutionFailed(error=error, occurred_at=stamp())
        return [
            await self.says(self._created),
            await self.says(facts.ExecutionStarted(occurred_at=stamp())),
            await self.says(end),
        ]

    def queue(self, sink: str) -> QueueKey:
        return QueueKey.of(sink, self.id)


def hook(url: str, **given: Any) -> WebhookSettings:
    return WebhookSettings.model_validate(
        {"name": f"w{uuid4().hex[:12]}", "url": url, "secrets": [SECRET], "timeout_seconds": 0.3, **given}
    )


def heard_of(log: Log, *webhooks: WebhookSettings, email: str = "nobody") -> tuple[Executions, Following]:
    """Source and follower of executions for these webhooks."""
    source = Executions(log, DeliverySettings.model_validate({"webhooks": webhooks}), email=email)
    return source, Following(log, Queues(log), source)


@asynccontextmanager
async def sending(log: Log, *sinks: Sink, policy: Policy = SOON) -> AsyncIterator[Queues]:
    """Senders at work."""
    queues = Queues(log)
    tasks = [asyncio.create_task(Sender(log, queues, sink, policy).run()) for sink in sinks]
    try:
        yield queues
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def history(log: Log, key: QueueKey) -> list[Message]:
    return [fact for record in await log.load(subjects.queue(key)) for fact in record.facts]


async def settled(log: Log, key: QueueKey, count: int = 1) -> dict[str, State]:
    """States of a queue's deliveries, once nothing of at least `count` waits."""
    async with asyncio.timeout(60):
        async for batch in log.follow("SCHEDULER", after=0, subjects=str(subjects.queue(key))):
            assert batch
            queue = delivery.fold(await history(log, key))
            if len(queue.items) >= count and delivery.head(queue) is None:
                return {event_id: item.state for event_id, item in queue.items.items()}
    raise AssertionError


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
    reasons = [fact.reason for fact in await history(log, execution.queue(webhook.name)) if hasattr(fact, "reason")]
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
    (reason,) = [fact.reason for fact in await history(log, key) if hasattr(fact, "reason")]
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
    assert all("ClientConnectorError" in fact.reason for fact in said if hasattr(fact, "reason"))


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


# --- e-mails ---------------------------------------------------------------------------------------------------------


def mailing(*recipients: str) -> Notification:
    return Notification(phases=[WorkflowExecution.FAILED], email=EmailNotification(recipients_email=recipients))


def smtp(port: int, **given: Any) -> SmtpSettings:
    return SmtpSettings.model_validate(
        {"host": "127.0.0.1", "port": port, "tls": "none", "timeout_seconds": 5, **given}
    )


async def failing(log: Log, email: str, *recipients: str) -> Execution:
    """An execution that fails and is to be mailed about."""
    _, following = heard_of(log, email=email)
    execution = Execution(log, mailing(*recipients))
    for recorded in await execution.runs(fails="out of <luck>"):
        await following.take(recorded)
    return execution


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_a_notification_is_mailed_with_the_servers_leave(log: Log) -> None:
    name = f"m{uuid4().hex[:12]}"
    async with mail_server(user="robot", password="hunter22") as mailbox:
        settings = smtp(mailbox.port, user="robot", password="hunter22", sender="robot@corp.example")
        async with sending(log, EmailSink(settings, name=name)):
            execution = await failing(log, name, "ada@corp.example", "bob@corp.example")
            ((recipients, mail),) = await mailbox.until(1)
            (event_id,) = await settled(log, execution.queue(name))
    assert recipients == ("ada@corp.example", "bob@corp.example")
    assert (mail["From"], mail["Message-ID"]) == ("robot@corp.example", f"<{event_id}@corp.example>")
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert b"out of &lt;luck&gt;" in body


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_a_wrong_password_parks_and_is_not_told(log: Log) -> None:
    name = f"m{uuid4().hex[:12]}"
    async with mail_server(user="robot", password="hunter22") as mailbox:
        async with sending(log, EmailSink(smtp(mailbox.port, user="robot", password="hunter33"), name=name)):
            execution = await failing(log, name, "ada@corp.example")
            assert set((await settled(log, execution.queue(name))).values()) == {State.PARKED}
        assert not mailbox.mails
    written = str(await history(log, execution.queue(name)))
    assert "535" in written
    assert "hunter33" not in written


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_mails_are_encrypted_and_a_stranger_gets_none(log: Log, certificate: ssl.SSLContext, tls: str) -> None:
    trusting, wary = f"m{uuid4().hex[:12]}", f"m{uuid4().hex[:12]}"
    async with mail_server(certificate=certificate, tls=tls) as mailbox:
        settings = smtp(mailbox.port, tls=tls)
        blind = smtp(mailbox.port, tls=tls, verify=False)
        async with sending(log, EmailSink(blind, name=trusting), EmailSink(settings, name=wary)):
            refused = await failing(log, wary, "ada@h.example")
            assert set((await settled(log, refused.queue(wary))).values()) == {State.PARKED}
            assert not mailbox.mails
            execution = await failing(log, trusting, "ada@h.example")
            assert set((await settled(log, execution.queue(trusting))).values()) == {State.DELIVERED}
    assert len(mailbox.mails) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in str(await history(log, refused.queue(wary)))


async def test_recipients_who_got_it_get_it_once_while_others_are_tried_again(log: Log) -> None:
    name = f"m{uuid4().hex[:12]}"
    async with mail_server() as mailbox:
        mailbox.answers = {"busy@h.example": ["451 later"] * 2, "gone@h.example": ["550 no such user"] * 9}
        async with sending(log, EmailSink(smtp(mailbox.port), name=name)):
            execution = await failing(log, name, "ada@h.example", "busy@h.example", "gone@h.example", "nonsense")
            assert set((await settled(log, execution.queue(name))).values()) == {State.PARKED}
    assert [recipients for recipients, _ in mailbox.mails] == [("ada@h.example",), ("busy@h.example",)]
    assert len({mail["Message-ID"] for _, mail in mailbox.mails}) == 1
    parked = (await history(log, execution.queue(name)))[-1]
    assert "gone@h.example: 550 no such user" in str(parked)
    assert "nonsense: 553" in str(parked)


async def test_a_mail_server_that_comes_back_gets_what_waited(log: Log) -> None:
    name = f"m{uuid4().hex[:12]}"
    async with mail_server() as away:
        pass
    async with sending(log, EmailSink(smtp(away.port), name=name), policy=Policy(first_pause=SOON.first_pause)):
        execution = await failing(log, name, "ada@h.example")
        async with asyncio.timeout(60):
            subject = str(subjects.queue(execution.queue(name)))
            async for batch in log.follow("SCHEDULER", after=0, subjects=subject):
                said = (fact for one in batch if isinstance(one, Recorded) for fact in one.facts)
                if any(isinstance(fact, DeliveryFailed) for fact in said):
                    break
        async with mail_server(away.port) as back:
            await back.until(1)
            assert set((await settled(log, execution.queue(name))).values()) == {State.DELIVERED}


async def test_without_a_mail_server_notifications_are_parked_and_say_so(log: Log) -> None:
    name = f"m{uuid4().hex[:12]}"
    async with sending(log, EmailSink(SmtpSettings.model_validate({}), name=name)):
        execution = await failing(log, name, "ada@h.example")
        key = execution.queue(name)
        (event_id,) = await settled(log, key)
    assert NO_SERVER in str(await history(log, key))
    async with mail_server() as mailbox, sending(log, EmailSink(smtp(mailbox.port), name=name)) as queues:
        await queues.retry(key, [event_id], CAUSE)
        ((_, mail),) = await mailbox.until(1)
        await settled(log, key)
    assert mail["X-Flightlog-Event"] == event_id


# --- replays, beginnings, lineage ------------------------------------------------------------------------------------


async def test_a_range_is_delivered_again_under_the_same_ids(log: Log, receiver: Receiver) -> None:
    webhook = hook(receiver.url, phases=["RUNNING", "SUCCEEDED"])
    source, following = heard_of(log, webhook)
    before, execution, unheard = Execution(log), Execution(log), Execution(log)
    await before.runs()
    begin = datetime.now(UTC)
    records = await execution.runs()
    await unheard.runs()  # ended while nobody followed
    end = datetime.now(UTC)
    chosen = Range(webhook.name, "tests", "development", begin=begin, end=end)
    replaying = Replaying(log, [(source, following)])
    async with sending(log, HttpSink(webhook)):
        for recorded in records:
            await following.take(recorded)
        await settled(log, execution.queue(webhook.name), 2)
        once = [post.id for post in receiver.taken]
        assert await replaying.replay(chosen, CAUSE) == 4
        await receiver.until(lambda: len(receiver.taken) == 6)
        for one in (execution, unheard):
            await settled(log, one.queue(webhook.name), 2)
    again = [post.id for post in receiver.taken if post.id in once][2:]
    assert again == once
    assert not await log.first(subjects.queue(before.queue(webhook.name)))
    assert await replaying.replay(Range("another", "tests", "development", begin=begin), CAUSE) == 0
    only = Range("", "tests", "development", execution.id.name)
    assert await replaying.replay(only, CAUSE) == 2
    assert await replaying.replay(only, CAUSE) == 0  # both wait already


async def test_the_first_start_on_a_log_with_a_past_tells_nobody_of_it(log: Log) -> None:
    class Elsewhere(Executions):
        stream = f"LAUNCHER{uuid4().hex}"

    now = await log.stream_sequence("EXECUTION")
    source: Source = Elsewhere(log, DeliverySettings.model_validate({}))

    class Counting(Log):
        async def stream_sequence(self, stream: str) -> int:
            return await log.stream_sequence("EXECUTION")

    counting = Counting(log._connection, log._reader._blobs)  # pyright: ignore[reportPrivateUsage]
    first = await Following(counting, Queues(log), source).began()
    assert first >= now
    await Execution(log).runs()
    assert await Following(counting, Queues(log), source).began() == first


async def test_lineage_is_delivered_as_it_was_recorded(log: Log, receiver: Receiver) -> None:
    sink = OpenLineageSettings.model_validate(
        {"name": f"l{uuid4().hex[:12]}", "url": receiver.url, "api_key": "hunter22"}
    )
    following = Following(log, Queues(log), Lineage([sink]))
    execution = Execution(log)
    subject = Subject.of("CATALOG", "lineage", execution.id.project, execution.id.domain, execution.id.name)
    bodies = [json.dumps({"eventType": kind, "é": 1.0}) for kind in ("START", "COMPLETE")]
    async with sending(log, HttpSink(sink)):
        for number, (kind, body) in enumerate(zip(("START", "COMPLETE"), bodies, strict=True)):
            fact = LineageEventRecorded(
                event_id=f"e{number}", execution_id=execution.id, event_type=kind, json=body, occurred_at=stamp()
            )
            await log.publish(subject, [fact], cause=CAUSE, message_id=uuid4().hex)
        replayed = await Replaying(log, [(Lineage([sink]), following)]).replay(
            Range(sink.name, "tests", "development", execution.id.name), CAUSE
        )
        assert replayed == 2
        assert len(await settled(log, execution.queue(sink.name), 2)) == 2
    assert [post.body.decode() for post in receiver.taken] == bodies
    assert {post.headers["Authorization"] for post in receiver.posts} == {"Bearer hunter22"}
    assert {post.headers["Content-Type"] for post in receiver.posts} == {"application/json"}
