"""Events posted to an address, signed after Standard Webhooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp

from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued
from services.scheduler.deliveries import signing
from services.scheduler.deliveries.delivery import Delivered, Failed, Outcome
from services.scheduler.deliveries.settings import HttpSinkSettings, OpenLineageSettings
from services.scheduler.deliveries.sinks import presentable

_READ_BYTES: Final = 2048
_LONG: Final = 12
"""A part of a path that is longer may be a token, a shorter one is a word."""
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429})
"""Answers 4xx that say nothing about the message."""


class HttpSink:
    """An address that takes what it is sent with any 2xx.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, settings: HttpSinkSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.name = settings.name
        self.at_once = settings.at_once
        self._settings = settings
        self._url = settings.url.get_secret_value()
        self._keys = [signing.key_of(secret.get_secret_value()) for secret in settings.secrets]
        self._headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        if isinstance(settings, OpenLineageSettings) and settings.api_key.get_secret_value():
            self._headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    @property
    def secrets(self) -> Iterable[str]:
        """The address with its parts, keys and headers."""
        parts = urlsplit(self._url)
        yield self._url
        yield from (parts.path if parts.path != "/" else "", parts.query, parts.netloc.rpartition("@")[0])
        yield from (part for part in parts.path.split("/") if len(part) >= _LONG)
        yield from (value for _, value in parse_qsl(parts.query))
        yield from (unquote(parts.password or ""), parts.password or "")
        yield from (secret.get_secret_value() for secret in self._settings.secrets)
        for value in self._headers.values():
            yield value
            yield value.rpartition(" ")[2]

    async def send(self, queued: DeliveryQueued, reached: frozenset[str]) -> Outcome:
        """Post once. Redirects are not followed: what is signed for one address is not for another."""
        body = queued.http.body.encode()
        try:
            async with self._open().post(
                self._url, data=body, headers=self._headers_of(queued, body), allow_redirects=False
            ) as response:
                answer = (await response.content.read(_READ_BYTES)).decode("utf-8", "replace")
                said = presentable(answer, self.secrets)
                return judged(response.status, response.headers, said, datetime.fromtimestamp(self._clock(), UTC))
        except TimeoutError:
            return Failed(f"no answer within {self._settings.timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Failed(f"{type(error).__name__}: {presentable(str(error), self.secrets)}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=self.at_once),
            )
        return self._session

    def _headers_of(self, queued: DeliveryQueued, body: bytes) -> Mapping[str, str]:
        return {
            "Content-Type": queued.http.content_type,
            "User-Agent": f"flightlog/{version('flightlog')}",
            **self._headers,
            **signing.headers(self._keys, queued.event_id, int(self._clock()), body),
        }


def judged(status: int, headers: Mapping[str, str], said: str, now: datetime) -> Outcome:
    """What an answer means: 2xx is delivered; 5xx, and 4xx that only say "not now", are worth another try."""
    if 200 <= status < 300:
        return Delivered(f"{status}")
    reason = f"answered {status}: {said}" if said else f"answered {status}"
    if 300 <= status < 400:
        return Failed(f"{reason} (redirects are not followed)", final=True)
    final = 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY
    return Failed(reason, final=final, pause=None if final else retry_after(headers.get("Retry-After", ""), now))


def retry_after(value: str, now: datetime) -> timedelta | None:
    """The pause that a header Retry-After asks for: seconds, or a moment. None for what is neither."""
    if value.isascii() and value.isdigit() and len(value) < 10:
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta())
