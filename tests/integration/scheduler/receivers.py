"""Receivers of deliveries: a web server and a mail server, real ones, that do as they are told."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import Message
from hashlib import sha256
from typing import Any, TypeVar

from aiohttp import web
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Found = TypeVar("Found")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Post:
    """A request that came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def signed_by(self, secret: str) -> bool:
        """As a receiver would verify it."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode()
        return expected in self.headers["webhook-signature"].split(" ")


async def fine(request: web.Request) -> web.StreamResponse:
    return web.Response(text="thanks")


def answering(status: int, text: str = "", **headers: str) -> Answer:
    """Always the same answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def hanging(request: web.Request) -> web.StreamResponse:
    """No answer, for as long as anybody waits."""
    await asyncio.Event().wait()
    raise AssertionError


async def hanging_up(request: web.Request) -> web.StreamResponse:
    """The connection breaks."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class Receiver:
    """A web server. `answers` are used up one by one; then it is `fine`."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list[Answer])
    posts: list[Post] = field(default_factory=list[Post])
    taken: list[Post] = field(default_factory=list[Post])
    """Those that were answered with 2xx."""
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        post = Post(dict(request.headers), await request.read())
        self.posts.append(post)
        await self._tell()
        answer = await (self.answers.pop(0) if self.answers else fine)(request)
        if 200 <= answer.status < 300 and not (request.transport is None or request.transport.is_closing()):
            self.taken.append(post)
            await self._tell()
        return answer

    async def until(self, found: Callable[[], Found]) -> Found:
        """Waits until something that came makes it true."""
        async with asyncio.timeout(60), self._came:
            await self._came.wait_for(found)
        return found()

    async def _tell(self) -> None:
        async with self._came:
            self._came.notify_all()


@asynccontextmanager
async def web_server(port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver of webhooks on this machine."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class Mailbox:
    """A mail server. `answers` to recipients, by address, are used up one by one."""

    port: int = 0
    mails: list[tuple[tuple[str, ...], Message]] = field(default_factory=list[tuple[tuple[str, ...], Message]])
    answers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    user: str = ""
    password: str = ""
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle_RCPT(  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers.get(address):
            return self.answers[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append((tuple(envelope.rcpt_tos), message_from_bytes(content, policy=policy.default)))
        async with self._came:
            self._came.notify_all()
        return "250 taken"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, how: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        known = (given.login, given.password) == (self.user.encode(), self.password.encode())
        return AuthResult(success=known, handled=False)

    async def until(self, count: int) -> list[tuple[tuple[str, ...], Message]]:
        """Waits until so many mails came, repetitions not counted."""

        def distinct() -> int:
            return len({(recipients, mail["Message-ID"]) for recipients, mail in self.mails})

        async with asyncio.timeout(60), self._came:
            await self._came.wait_for(lambda: distinct() >= count)
        return self.mails


@asynccontextmanager
async def mail_server(
    port: int = 0,
    *,
    user: str = "",
    password: str = "",
    certificate: ssl.SSLContext | None = None,
    tls: str = "none",
    utf8: bool = True,
) -> AsyncIterator[Mailbox]:
    """A receiver of e-mails on this machine. `tls` is "none", "starttls" or "tls"."""
    mailbox = Mailbox(user=user, password=password)
    controller = UnthreadedController(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        loop=asyncio.get_running_loop(),
        authenticator=mailbox.authenticate if user else None,
        auth_require_tls=False,
        auth_required=bool(user),
        tls_context=certificate if tls == "starttls" else None,
        require_starttls=tls == "starttls",
        enable_SMTPUTF8=utf8,
    )
    context = certificate if tls == "tls" else None
    server = await asyncio.get_running_loop().create_server(controller.factory, "127.0.0.1", port, ssl=context)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
