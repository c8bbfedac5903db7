"""One connection to NATS: requests, their answers, and what becomes of them when the server goes away.

nats-py's own request waits for its timeout when the connection breaks. Here everything that waits for an answer fails
at once with `ConnectionLost`, so that an append is looked after within milliseconds of the reconnect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from .client import FastClient, Take
from .errors import LogError, LogUnavailable
from .settings import LogSettings

_log = structlog.get_logger(__name__)
_RETRY_SECONDS = 0.05
_Result = TypeVar("_Result")


class ConnectionLost(LogUnavailable):
    """The connection broke, or no answer came, while a request was under way."""


class ApiError(LogError):
    """JetStream refused a request."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{description} (code {code}, error {err_code})")
        self.code = code
        self.err_code = err_code


class _Answers:
    """Where the messages that answer one request arrive."""

    __slots__ = ("messages", "waiter")

    def __init__(self, waiter: asyncio.Future[None]) -> None:
        self.messages: deque[Msg] = deque()
        self.waiter = waiter


class Connection:
    """A NATS client that reconnects for ever.

    `on_reconnect` callbacks run, in the event loop, each time the server is reachable again.
    """

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self.client = FastClient()
        self._single: dict[str, asyncio.Future[Msg]] = {}
        self._many: dict[str, _Answers] = {}
        self._inbox = ""
        self._token = 0
        self._closing = False
        self._connected = asyncio.Event()
        self._on_reconnect: set[Callable[[], None]] = set()
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, settings: LogSettings, name: str) -> Connection:
        """Raises `LogUnavailable` when the server cannot be reached within the settings' patience."""
        self = cls(settings)
        deadline = self.loop.time() + settings.patience_seconds
        while True:
            try:
                await self._connect(name)
                break
            except (OSError, nats.errors.Error, TimeoutError) as error:
                if self.loop.time() > deadline:
                    raise LogUnavailable(f"NATS at {settings.nats_url} cannot be reached: {error}") from error
                await asyncio.sleep(0.1)
                self.client = FastClient()
        self._inbox = f"_INBOX.{self.client.new_inbox().rpartition('.')[2]}"
        await self.subscribe(f"{self._inbox}.*", self._answered)
        self._connected.set()
        return self

    async def _connect(self, name: str) -> None:
        settings = self.settings
        options: dict[str, Any] = {}
        if settings.user is not None:
            options = {
                "user": settings.user,
                "password": settings.password.get_secret_value() if settings.password else "",
            }
        await self.client.connect(
            servers=[url.strip() for url in settings.nats_url.split(",")],
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,  # pyright: ignore[reportArgumentType]  # only ever slept on
            connect_timeout=5,
            ping_interval=10,
            max_outstanding_pings=2,
            pending_size=64 * 1024 * 1024,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            error_cb=self._errored,
            **options,
        )

    async def close(self) -> None:
        self._closing = True
        self._fail_waiting("closed")
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            if self.client.is_connected:
                await self.client.flush(2)
        await self.client.close()

    @property
    def is_connected(self) -> bool:
        return self.client.is_connected

    @property
    def is_closed(self) -> bool:
        """Whether it is over for good: closed by us, or by the server with an error that a reconnect does not heal."""
        return self.client.is_closed

    def watch_reconnects(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have the callback called on each reconnect; returns what ends that."""
        self._on_reconnect.add(callback)
        return lambda: self._on_reconnect.discard(callback)

    async def wait_connected(self, seconds: float) -> None:
        """Raises `LogUnavailable`."""
        if self.client.is_connected:
            return
        if self.client.is_closed:
            raise LogUnavailable("the connection to the log is closed")
        self._lost()  # nats-py tells us a little later than it knows
        try:
            async with asyncio.timeout(seconds):
                await self._connected.wait()
        except TimeoutError:
            raise LogUnavailable(f"NATS at {self.settings.nats_url} is away for more than {seconds:.0f} s") from None

    def new_inbox(self) -> str:
        return self.client.new_inbox()

    async def subscribe(self, subject: str, take: Take) -> Subscription:
        return await self.client.subscribe_directly(subject, take)

    async def publish(self, subject: str, data: bytes = b"", *, reply: str = "") -> None:
        """Send without an answer. What is sent while the server is away is lost. Raises `ConnectionLost`."""
        if not self.client.is_connected:
            raise ConnectionLost("not connected")
        try:
            await self.client.publish(subject, data, reply=reply)
        except (nats.errors.Error, OSError) as error:
            raise ConnectionLost(str(error)) from error

    async def request(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Msg:
        """One request, one answer, tried once. Raises `ConnectionLost` when it stays open whether it arrived."""
        if not self.client.is_connected:
            raise ConnectionLost("not connected")
        self._token += 1
        token = str(self._token)
        future: asyncio.Future[Msg] = self.loop.create_future()
        self._single[token] = future
        timer = self.loop.call_later(self.settings.request_seconds, _expire, future, subject)
        try:
            await self.client.publish(subject, data, reply=f"{self._inbox}.{token}", headers=headers)
            return await future
        except nats.errors.MaxPayloadError as error:
            raise LogError(f"{subject}: {len(data)} bytes are more than the server takes") from error
        except (nats.errors.Error, OSError) as error:
            raise ConnectionLost(f"{subject}: {error}") from error
        finally:
            timer.cancel()
            self._single.pop(token, None)

    async def request_many(self, subject: str, data: bytes, complete: Callable[[Msg], bool]) -> list[Msg]:
        """One request, many answers, the last of which is the one that `complete` names. Raises `ConnectionLost`."""
        if not self.client.is_connected:
            raise ConnectionLost("not connected")
        self._token += 1
        token = str(self._token)
        answers = _Answers(self.loop.create_future())
        self._many[token] = answers
        received: list[Msg] = []
        try:
            await self.client.publish(subject, data, reply=f"{self._inbox}.{token}")
            while True:
                async with asyncio.timeout(self.settings.request_seconds):
                    await answers.waiter
                answers.waiter = self.loop.create_future()
                while answers.messages:
                    received.append(answers.messages.popleft())
                    if complete(received[-1]):
                        return received
        except TimeoutError:
            raise ConnectionLost(f"{subject}: no answer within {self.settings.request_seconds:.0f} s") from None
        except (nats.errors.Error, OSError) as error:
            raise ConnectionLost(f"{subject}: {error}") from error
        finally:
            del self._many[token]

    async def api(self, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A JetStream API call, retried while the server is away. Raises `ApiError`, `LogUnavailable`."""
        data = json.dumps(body).encode() if body is not None else b""

        async def call() -> dict[str, Any]:
            return parse_api(await self.request(f"$JS.API.{verb}", data))

        return await self.patiently(call)

    async def patiently(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Try again while the server is away or not ready, up to the settings' patience. Raises `LogUnavailable`."""
        deadline = self.loop.time() + self.settings.patience_seconds
        while True:
            try:
                return await attempt()
            except LogUnavailable:
                left = deadline - self.loop.time()
                if left <= 0:
                    raise
                if self.client.is_connected:
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    await self.wait_connected(left)

    def _answered(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        future = self._single.get(token)
        if future is not None:
            if not future.done():
                future.set_result(message)
            return
        answers = self._many.get(token)
        if answers is not None:
            answers.messages.append(message)
            if not answers.waiter.done():
                answers.waiter.set_result(None)

    def _fail_waiting(self, reason: str) -> None:
        waiting: Sequence[asyncio.Future[Any]] = [
            *self._single.values(),
            *(many.waiter for many in self._many.values()),
        ]
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionLost(f"connection lost: {reason}"))

    async def _disconnected(self) -> None:
        self._lost()
        self._fail_waiting("disconnected")

    def _lost(self) -> None:
        if self._connected.is_set():
            self._connected.clear()
            if not self._closing:
                _log.warning("nats.disconnected", url=self.settings.nats_url)

    async def _reconnected(self) -> None:
        _log.info("nats.reconnected", url=self.settings.nats_url)
        self._connected.set()
        for callback in list(self._on_reconnect):
            callback()

    async def _errored(self, error: Exception) -> None:
        # While the server is away every try to reach it fails; that it is away is logged once.
        if self._connected.is_set() and not self._closing:
            _log.warning("nats.failed", error=str(error) or type(error).__name__)


def _expire(future: asyncio.Future[Msg], subject: str) -> None:
    if not future.done():
        future.set_exception(ConnectionLost(f"{subject}: no answer in time"))


def status_of(message: Msg) -> str:
    """Status of a control message ("404", "503", …); empty for a real one."""
    if message.data or not message.headers:
        return ""
    return message.headers.get("Status", "")


def parse_api(message: Msg) -> dict[str, Any]:
    """The body of a JetStream answer. Raises `ApiError`, or `ConnectionLost` when JetStream is not ready."""
    if status_of(message) == "503":
        raise ConnectionLost("JetStream is not ready")
    body: dict[str, Any] = json.loads(message.data)
    error = body.get("error")
    if error is not None:
        code = int(error.get("code", 0))
        description = str(error.get("description", ""))
        # 503: no leader, or not enough resources now; 429: too much at once. Both pass.
        if code in (429, 503):
            raise ConnectionLost(description)
        raise ApiError(code, int(error.get("err_code", 0)), description)
    return body
