"""Notifications as e-mails, handed to an SMTP server."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

import aiosmtplib
from aiosmtplib import SMTPResponse

from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued
from services.scheduler.deliveries.delivery import Delivered, Failed, Outcome
from services.scheduler.deliveries.settings import EMAIL, SmtpSettings
from services.scheduler.deliveries.sinks import presentable

NO_SERVER: Final = "no SMTP server is configured"
EVENT_HEADER: Final = "X-Flightlog-Event"
_WORD: Final = r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+"
_ADDRESS: Final = re.compile(f"{_WORD}@{_WORD}")
_NO_MAILBOX: Final = 553
_UNKNOWN_LETTERS: Final = SMTPResponse(_NO_MAILBOX, "the server takes no addresses with letters beyond ASCII")


class EmailSink:
    """An SMTP server; every e-mail has a connection of its own."""

    def __init__(self, settings: SmtpSettings, *, name: str = EMAIL) -> None:
        self.name = name
        self.at_once = settings.at_once
        self._settings = settings

    @property
    def secrets(self) -> Iterable[str]:
        """The password."""
        yield self._settings.password.get_secret_value()

    async def send(self, queued: DeliveryQueued, reached: frozenset[str]) -> Outcome:
        """Hand it over once, to all who have not got it yet."""
        if not self._settings.host:
            return Failed(NO_SERVER, final=True)
        wanted = [one for one in queued.email.recipients if one not in reached]
        if not wanted:
            return Delivered("everybody has got it")
        recipients = [one for one in wanted if _ADDRESS.fullmatch(one)]
        refused = {one: (_NO_MAILBOX, "this is no e-mail address") for one in wanted if one not in recipients}
        if not recipients:
            return self._refused(refused, wanted)
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                answers, said = await self._hand_over(queued, recipients)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused.update((one.recipient, (one.code, one.message)) for one in error.recipients)
            return self._refused(refused, wanted)
        except aiosmtplib.SMTPResponseException as error:
            return Failed(self._shown(f"{error.code} {error.message}"), final=500 <= error.code < 600)
        except TimeoutError:
            return Failed(f"{self._settings.host} did not take it within {self._settings.timeout_seconds:g} s")
        except (aiosmtplib.SMTPException, OSError) as error:
            return Failed(self._shown(f"{type(error).__name__}: {error}"))
        except ValueError as error:
            return Failed(self._shown(f"it cannot be written as an e-mail: {error}"), final=True)
        refused.update((one, (answer.code, answer.message)) for one, answer in answers.items())
        return self._refused(refused, wanted) if refused else Delivered(self._shown(said))

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _hand_over(self, queued: DeliveryQueued, recipients: list[str]) -> tuple[dict[str, SMTPResponse], str]:
        """Who was refused, and what the server said of the message that all others get."""
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=settings.timeout_seconds,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=None if settings.tls == "none" else _tls(verify=settings.verify),
            username=settings.user or None,
            password=settings.password.get_secret_value() if settings.user else None,
        )
        async with client:
            try:
                return await client.send_message(
                    message(queued, recipients, settings.sender), sender=settings.sender, recipients=recipients
                )
            except aiosmtplib.SMTPNotSupported:
                # Some are not ASCII, which this server has no words for: the others get it all the same.
                others = [one for one in recipients if one.isascii()]
                if len(others) == len(recipients):
                    raise
            answers = {one: _UNKNOWN_LETTERS for one in recipients if one not in others}
            if not others:
                return answers, ""
            refused, said = await client.send_message(
                message(queued, others, settings.sender), sender=settings.sender, recipients=others
            )
            return {**answers, **refused}, said

    def _refused(self, refused: Mapping[str, tuple[int, str]], wanted: Iterable[str]) -> Failed:
        """The others have got it. Another try helps unless all refusals are final."""
        reasons = "; ".join(f"{one}: {code} {text}" for one, (code, text) in sorted(refused.items()))
        final = all(500 <= code < 600 for code, _ in refused.values())
        return Failed(self._shown(reasons), final=final, reached=frozenset(wanted) - refused.keys())

    def _shown(self, text: str) -> str:
        return presentable(text, self.secrets)


def message(queued: DeliveryQueued, recipients: Sequence[str], sender: str) -> EmailMessage:
    """The e-mail of a delivery. Its Message-ID is made of the event's id, so that repetitions are recognised.

    Raises `ValueError` for what no header can hold.
    """
    written = EmailMessage()
    written["Subject"] = queued.email.subject
    written["From"] = sender
    written["To"] = ", ".join(recipients)
    written["Date"] = format_datetime(queued.happened_at.ToDatetime(UTC))
    written["Message-ID"] = f"<{queued.event_id}@{sender.rpartition('@')[2]}>"
    written["Auto-Submitted"] = "auto-generated"
    written[EVENT_HEADER] = queued.event_id
    written.set_content(queued.email.body, subtype="html" if queued.email.html else "plain", cte="quoted-printable")
    return written


def _tls(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
