"""Calls of the Kubernetes API, with objects as plain dictionaries. Nothing else of Flightlog speaks to it.

Access (service account, kubeconfig, TLS) is kubernetes_asyncio's; its typed models are not used: they cost more than
the call itself, and drop fields that they do not know.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import aiohttp
import structlog
from prometheus_client import Counter, Histogram

from services.k8s_launcher.kubernetes.api_access import Call, Link
from services.k8s_launcher.kubernetes.api_errors import ApiMisconfigured, ApiRefused, ApiUnreachable
from services.k8s_launcher.kubernetes.api_settings import ApiSettings
from services.k8s_launcher.kubernetes.objects import Kind, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

FIELD_MANAGER = "flightlog"
_KINDS_KNOWN_SECONDS = 600.0
_KINDS_MISSED_SECONDS = 5.0
_RENEW_SECONDS = 5.0
# A watch may be silent for long; the kernel finds out that the other side is gone.
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_WATCH_SLACK_SECONDS = 15.0

_log = structlog.get_logger(__name__)
_requests = Counter("flightlog_kubernetes_requests_total", "Calls of the Kubernetes API", ["verb", "kind", "code"])
_seconds = Histogram(
    "flightlog_kubernetes_request_seconds",
    "Time until the Kubernetes API has answered a call; of a watch: until it has begun",
    ["verb"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0),
)


class Patch(Enum):
    """How a patch is meant; the value is its content type."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    """Lists are merged by their keys; only for kinds that are not custom resources."""
    JSON = "application/json-patch+json"
    """The body is a list of operations."""
    APPLY = "application/apply-patch+yaml"
    """Server-side apply: the body is the whole object as its manager wants it."""


@dataclass(frozen=True)
class Listed:
    """Objects of a list, or one page of it."""

    items: list[Object]
    resource_version: str
    """Where a watch goes on from."""


class Api:
    """The API of one cluster. All methods raise `ApiRefused` and `ApiUnreachable`."""

    def __init__(self, settings: KubernetesSettings, link: Link) -> None:
        self._settings = settings
        self._link = link
        self._retired: list[Link] = []
        self._renewing = asyncio.Lock()
        self._renewed_at = float("-inf")
        self._kinds: dict[str, tuple[float, dict[str, Kind]]] = {}

    @staticmethod
    async def open(settings: KubernetesSettings) -> Api:
        """Access as the settings say; nothing is asked yet. Raises `ApiMisconfigured`."""
        return Api(settings, await Link.open(settings))

    @property
    def limits(self) -> ApiSettings:
        """How calls are made, for those who make many."""
        return self._settings.api

    async def close(self) -> None:
        """End all connections."""
        for link in (*self._retired, self._link):
            await link.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """One object."""
        return await self._call(Call("get", kind, kind.path(namespace, name)))

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        page: int | None = None,
    ) -> Listed:
        """All objects of a kind, of a namespace or of all; as they are now. Begins anew when its snapshot expires."""
        while True:
            items: list[Object] = []
            version = ""
            try:
                async for part in self.pages(
                    kind, namespace, label_selector=label_selector, field_selector=field_selector, page=page
                ):
                    items += part.items
                    version = part.resource_version
            except ApiRefused as refusal:
                if refusal.expired and items:
                    continue
                raise
            return Listed(items, version)

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        page: int | None = None,
    ) -> AsyncGenerator[Listed, None]:
        """The same in pages of one snapshot. Raises `ApiRefused` (`expired`) when it takes longer than that is kept."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        query["limit"] = str(page or self._settings.api.page)
        while True:
            answer = await self._call(Call("list", kind, kind.path(namespace), query))
            # The items of a list do not say what they are.
            stamp = {"apiVersion": kind.api_version, "kind": kind.kind}
            items = [{**stamp, **item} for item in cast("list[Object]", answer.get("items") or [])]
            yield Listed(items, answer["metadata"]["resourceVersion"])
            following = answer["metadata"].get("continue")
            if not following:
                return
            query["continue"] = following

    async def create(
        self, kind: Kind, namespace: str | None, manifest: Object, *, subresource: str = "", dry_run: bool = False
    ) -> Object:
        """Make an object; returns it as it is kept. `subresource` of the object that the manifest names."""
        path = kind.path(namespace, manifest["metadata"]["name"] if subresource else None)
        query = _query(fieldManager=FIELD_MANAGER, dryRun="All" if dry_run else "")
        return await self._call(Call("create", kind, _below(path, subresource), query, "POST", manifest))

    async def replace(self, kind: Kind, namespace: str | None, manifest: Object, *, subresource: str = "") -> Object:
        """Write the whole object; `ApiRefused.conflict` when it is no longer at the manifest's resourceVersion."""
        path = _below(kind.path(namespace, manifest["metadata"]["name"]), subresource)
        return await self._call(Call("update", kind, path, _query(fieldManager=FIELD_MANAGER), "PUT", manifest))

    async def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Object | Sequence[Object],
        *,
        how: Patch = Patch.MERGE,
        subresource: str = "",
        force: bool = False,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Object:
        """Change an object, or with `APPLY` make it. `force`: take fields that another manager applied (`APPLY`)."""
        query = _query(fieldManager=field_manager, force="true" if force else "", dryRun="All" if dry_run else "")
        path = _below(kind.path(namespace, name), subresource)
        verb = "apply" if how is Patch.APPLY else "patch"
        return await self._call(Call(verb, kind, path, query, "PATCH", body, how.value))

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        propagation: str | None = None,
        grace_seconds: int | None = None,
        uid: str | None = None,
    ) -> Object:
        """Ask for an object's end; returns its last state or a Status.

        `propagation`: `Background`, `Foreground`, `Orphan`; default: the kind's own. `grace_seconds`: instead of the
        object's own; 0: at once. `uid`: only this one, else `ApiRefused.conflict`.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._call(Call("delete", kind, kind.path(namespace, name), method="DELETE", body=options))

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        seconds: float | None = None,
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """What happens to objects after a resourceVersion: `ADDED`, `MODIFIED`, `DELETED`, and `BOOKMARK`, which only
        says how far it is. Ends after `seconds` (default: the setting's) or when the server closes it; close it with
        `aclosing`. Raises `ApiRefused` (`expired`) when the version is too old."""
        seconds = seconds or self._settings.api.watch_seconds
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=str(max(int(seconds), 1)),
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        limits = self._settings.api
        timeout = aiohttp.ClientTimeout(
            sock_connect=limits.connect_seconds, sock_read=max(limits.request_seconds, seconds + _WATCH_SLACK_SECONDS)
        )
        response = await self._send(Call("watch", kind, kind.path(namespace), query), timeout)
        try:
            _keep_alive(response)
            async for line in _lines(response):
                event = _parsed(line)
                what, seen = event.get("type"), event.get("object")
                if not isinstance(what, str) or not isinstance(seen, dict):
                    raise ApiUnreachable(f"a watch of {kind.plural} said {line[:200]!r}")
                if what == "ERROR":
                    raise _refused(int(seen.get("code") or 500), cast(Object, seen), None)
                yield what, cast(Object, seen)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnreachable(f"the watch of {kind.plural} broke: {error!r}") from error
        finally:
            response.close()

    async def version(self) -> Object:
        """Of the server: `major`, `minor`, `gitVersion`."""
        return await self._call(Call("get", _VERSION, "/version"))

    async def has(self, kind: Kind) -> bool:
        """Whether the API serves a kind. Remembered; when it does not, asked again after some seconds."""
        found = await self.find(kind.api_version, kind.kind)
        return found is not None and found.plural == kind.plural

    async def find(self, api_version: str, kind: str) -> Kind | None:
        """A kind by the words of a manifest, with its path and scope; None when the API does not serve it."""
        read_at, kinds = self._kinds.get(api_version, (float("-inf"), {}))
        age = time.monotonic() - read_at
        if age > (_KINDS_KNOWN_SECONDS if kind in kinds else _KINDS_MISSED_SECONDS):
            kinds = await self._served(api_version)
            self._kinds[api_version] = (time.monotonic(), kinds)
        return kinds.get(kind)

    async def _served(self, api_version: str) -> dict[str, Kind]:
        try:
            answer = await self._call(Call("get", _DISCOVERY, Kind(api_version, "", "").root))
        except ApiRefused as refusal:
            if refusal.not_found:
                return {}
            raise
        return {
            one["kind"]: Kind(api_version, one["kind"], one["name"], bool(one.get("namespaced")))
            for one in answer.get("resources") or []
            if "/" not in one["name"]
        }

    async def _call(self, call: Call) -> Object:
        limits = self._settings.api
        timeout = aiohttp.ClientTimeout(total=limits.request_seconds, sock_connect=limits.connect_seconds)
        response = await self._send(call, timeout)
        try:
            return _parsed(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnreachable(f"{call}: {error!r}") from error
        finally:
            response.release()

    async def _send(self, call: Call, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:  # noqa: ASYNC109
        """The answer, its body still to be read; refusals are raised."""
        began = time.monotonic()
        code = "unreachable"
        try:
            for last in (False, True):
                link = self._link
                async with asyncio.timeout(self._settings.api.request_seconds):
                    response = await link.send(call, timeout)
                code = str(response.status)
                if response.status < 400:
                    return response
                refusal = await _refusal(response)
                if last or response.status != 401 or not await self._renew(link):
                    break
            if refusal.not_served:
                self._kinds.pop(call.kind.api_version, None)
            raise refusal
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            code = "unreachable"
            if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
                await self._renew(self._link)
            raise ApiUnreachable(f"{call}: {error!r}") from error
        finally:
            _requests.labels(call.verb, call.kind.kind, code).inc()
            _seconds.labels(call.verb).observe(time.monotonic() - began)

    async def _renew(self, used: Link) -> bool:
        """Read the access anew, for certificates and tokens of a kubeconfig change. False: it is as it was."""
        async with self._renewing:
            if self._link is not used:
                return True
            if time.monotonic() - self._renewed_at < _RENEW_SECONDS:
                return False
            self._renewed_at = time.monotonic()
            try:
                link = await Link.open(self._settings)
            except (ApiMisconfigured, OSError) as error:
                _log.warning("kubernetes.access_unreadable", error=str(error))
                return False
            # Calls and watches under way end by themselves; those before them have done so.
            for old in self._retired:
                await old.close()
            self._retired, self._link = [self._link], link
            return True


_VERSION = Kind("", "Version", "version")
_DISCOVERY = Kind("", "APIResourceList", "")


def _query(**given: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if value}


def _below(path: str, subresource: str) -> str:
    return f"{path}/{subresource}" if subresource else path


def _parsed(text: bytes) -> Object:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ApiUnreachable(f"the answer is not JSON: {text[:200]!r}") from error
    if not isinstance(parsed, dict):
        raise ApiUnreachable(f"the answer is no object: {text[:200]!r}")
    return cast(Object, parsed)


async def _refusal(response: aiohttp.ClientResponse) -> ApiRefused:
    text = await response.read()
    try:
        answer = _parsed(text)
    except ApiUnreachable:
        answer = {}
    if answer.get("kind") != "Status":
        said = text[:500].decode(errors="replace").strip()
        if response.status >= 500:
            raise ApiUnreachable(f"{response.status} {response.reason}: {said}")
        answer = {"message": said, "reason": response.reason}
    return _refused(response.status, answer, response.headers.get("Retry-After"))


def _refused(status: int, answer: Object, retry_after: str | None) -> ApiRefused:
    details = cast("Mapping[str, Any]", answer.get("details") or {})
    seconds: float | None = None
    with suppress(TypeError, ValueError):
        # The header may be a date; the API sends seconds, and the same in the details.
        seconds = float(retry_after or details.get("retryAfterSeconds") or "")
    return ApiRefused(status, str(answer.get("reason") or ""), str(answer.get("message") or ""), details, seconds)


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
    if rest.strip():
        yield rest


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    connection = response.connection
    transport = connection.transport if connection is not None else None
    known = transport.get_extra_info("socket") if transport is not None else None
    if known is None:
        return
    with socket.socket(fileno=os.dup(known.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE:
            same.setsockopt(socket.IPPROTO_TCP, option, value)
