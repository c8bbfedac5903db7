"""Notifications handed to a real mail server that refuses, is away, and comes back."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flyteidl.admin.common_pb2 import EmailNotification, Notification
from flyteidl.core.execution_pb2 import WorkflowExecution

from flightlog_log import Log, Recorded
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryFailed, DeliveryParked
from services.scheduler.deliveries import subjects
from services.scheduler.deliveries.delivery import Policy, State
from services.scheduler.deliveries.settings import SmtpSettings
from services.scheduler.deliveries.smtp import NO_SERVER, EmailSink
from tests.integration.scheduler.delivering import (
    CAUSE,
    SOON,
    Execution,
    heard_of,
    history,
    sending,
    settled,
)
from tests.integration.scheduler.receivers import (
    mail_server,
)


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


@pytest.mark.parametrize("utf8", [True, False])
async def test_addresses_that_nobody_can_write_to_keep_nobody_from_the_mail(log: Log, *, utf8: bool) -> None:
    name = f"m{uuid4().hex[:12]}"
    odd = ["a\nBcc: eve@h.example", "(*'+@).", "nul\0@h.example", '"quoted" a@h.example', "zoë@h.example", "a@b@c"]
    async with mail_server(utf8=utf8) as mailbox, sending(log, EmailSink(smtp(mailbox.port), name=name)):
        execution = await failing(log, name, "ada@h.example", *odd)
        assert set((await settled(log, execution.queue(name))).values()) == {State.PARKED}
    ((recipients, _),) = mailbox.mails
    assert recipients == (("ada@h.example", "zoë@h.example") if utf8 else ("ada@h.example",))
    parked = (await history(log, execution.queue(name)))[-1]
    assert isinstance(parked, DeliveryParked)
    assert parked.tries == 1
    assert sorted(parked.reached) == sorted(recipients)
    assert ("beyond ASCII" in parked.reason) is not utf8


async def test_when_nobody_can_be_written_to_it_is_parked_at_once(log: Log) -> None:
    name = f"m{uuid4().hex[:12]}"
    async with mail_server(utf8=False) as mailbox, sending(log, EmailSink(smtp(mailbox.port), name=name)):
        execution = await failing(log, name, "zoë@h.example")
        assert set((await settled(log, execution.queue(name))).values()) == {State.PARKED}
    assert not mailbox.mails


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
