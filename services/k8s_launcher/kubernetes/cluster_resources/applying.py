"""Applies the objects of one project and domain: server-side, so that what others set in them stays."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from services.k8s_launcher.kubernetes.api import Api, Patch
from services.k8s_launcher.kubernetes.api_errors import ApiRefused, ApiUnreachable
from services.k8s_launcher.kubernetes.cluster_resources.projects import Place
from services.k8s_launcher.kubernetes.cluster_resources.templates import BadTemplate, objects, render
from services.k8s_launcher.kubernetes.objects import Object

FIELD_MANAGER = "flightlog-cluster-resources"
"""Of its own: what the launcher sets elsewhere is not taken away by what templates do not mention."""

_log = structlog.get_logger(__name__)
_applied = Counter("flightlog_cluster_resources_applied_total", "Objects of projects that were applied", ["file"])
_failed = Counter("flightlog_cluster_resources_failed_total", "Templates that could not be applied", ["file"])
_failing = Gauge(
    "flightlog_cluster_resources_failing", "Projects and domains for which a template cannot be applied now", ["file"]
)


@dataclass(frozen=True)
class _Success:
    digest: bytes
    at: float


class Applying:
    """Applies templates, and remembers what it has applied. Nothing is ever deleted.

    Args:
        repeat_seconds: after this time, an object is applied again though it is not known to have changed.
    """

    def __init__(self, api: Api, repeat_seconds: float) -> None:
        self._api = api
        self._repeat_seconds = repeat_seconds
        self._successes: dict[Place, dict[str, _Success]] = {}
        self._failures: dict[Place, dict[str, str]] = {}

    async def apply(
        self, place: Place, namespace: str, templates: Mapping[str, str], values: Mapping[str, str]
    ) -> dict[str, str]:
        """Apply all files in order. A file that fails does not keep the others from it, an API that is away does.
        Returns why files failed."""
        failures: dict[str, str] = {}
        for file, text in templates.items():
            try:
                for manifest in objects(render(text, values)):
                    await self._object(place, namespace, file, manifest)
            except (BadTemplate, ApiRefused) as error:
                failures[file] = str(error)
            except ApiUnreachable as error:
                failures[file] = str(error)
                break
        return failures

    def forget(self, place: Place) -> None:
        """Take nothing of a place for applied any more."""
        self._successes.pop(place, None)

    async def _object(self, place: Place, namespace: str, file: str, manifest: Object) -> None:
        kind = await self._api.find(manifest["apiVersion"], manifest["kind"])
        if kind is None:
            raise BadTemplate(f"the cluster has no {manifest['kind']} of {manifest['apiVersion']}")
        metadata = manifest["metadata"]
        where = metadata.get("namespace", namespace) if kind.namespaced else None
        name = f"{manifest['apiVersion']} {manifest['kind']} {where or ''}/{metadata['name']}"
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).digest()
        successes = self._successes.setdefault(place, {})
        known = successes.get(name)
        if known is not None and known.digest == digest and time.monotonic() - known.at < self._repeat_seconds:
            return
        await self._api.patch(
            kind, where, metadata["name"], manifest, how=Patch.APPLY, force=True, field_manager=FIELD_MANAGER
        )
        successes[name] = _Success(digest, time.monotonic())
        _applied.labels(file).inc()
        if known is None or known.digest != digest:
            _log.info("cluster_resources.applied", project=place.project, domain=place.domain, file=file, object=name)

    def failed(self, place: Place, failures: Mapping[str, str]) -> None:
        """Count what failed, and what does not any more."""
        before = self._failures.pop(place, {})
        if failures:
            self._failures[place] = dict(failures)
        for file, reason in failures.items():
            _failed.labels(file).inc()
            if before.get(file) != reason:
                _log.error(
                    "cluster_resources.failed", project=place.project, domain=place.domain, file=file, reason=reason
                )
        for file in {*before, *failures}:
            _failing.labels(file).set(sum(file in failing for failing in self._failures.values()))
