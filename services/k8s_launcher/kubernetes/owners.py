"""One ConfigMap for each execution, which all its objects belong to: when it goes, Kubernetes removes them too.

It also keeps, as an annotation, when the execution ended; so whoever sweeps later needs no records of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from flightlog_types.short_names import hashed
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.identity import INSTANCE, execution_annotations, execution_in
from services.k8s_launcher.kubernetes.informer import Informer
from services.k8s_launcher.kubernetes.objects import CONFIG_MAP, Object
from services.k8s_launcher.kubernetes.pods.names import dns_subdomain
from services.k8s_launcher.runtime import Execution
from services.k8s_launcher.task_templates import NotLaunchable

_ENDED_AT: Final = "flightlog.dev/ended-at"
_LONGEST: Final = 63


def owner_name(execution: str) -> str:
    """Name of the ConfigMap of an execution."""
    name = dns_subdomain(f"flyte-exec-{execution}")
    return name if len(name) <= _LONGEST else f"flyte-exec-{hashed(execution)}"


class Owners:
    """The ConfigMaps of executions."""

    def __init__(self, api: Api, instance: str) -> None:
        self._api = api
        self._instance = instance
        self._making: dict[tuple[str, str], asyncio.Task[Object]] = {}
        self._known: dict[tuple[str, str], Object] = {}
        self.informer = Informer(
            api,
            CONFIG_MAP,
            label_selector=f"{INSTANCE}={instance}",
            on_change=self._changed,
            on_gone=self._gone,
        )

    async def reference(self, namespace: str, execution: Execution) -> Object:
        """The ownerReference to an execution's ConfigMap, which is there when this returns.

        Raises `ApiError`, and `NotLaunchable` when the name is somebody else's.
        """
        place = namespace, owner_name(execution[2])
        known = self._known.get(place)
        if known is None:
            making = self._making.get(place)
            if making is None:
                making = self._making[place] = asyncio.create_task(self._make(namespace, place[1], execution))
                making.add_done_callback(lambda _: self._making.pop(place, None))
            # Shielded: others wait for the same one.
            known = await asyncio.shield(making)
        return {
            "apiVersion": CONFIG_MAP.api_version,
            "kind": CONFIG_MAP.kind,
            "name": place[1],
            "uid": known["metadata"]["uid"],
        }

    async def ended(self, namespace: str, execution: Execution, at: datetime) -> None:
        """Note when an execution ended; nothing when it has no ConfigMap. Raises `ApiError`."""
        name = owner_name(execution[2])
        known = self._known.get((namespace, name))
        if known is None or execution_in(known) != execution or ended_at(known) is not None:
            return
        note = {"metadata": {"annotations": {_ENDED_AT: at.astimezone(UTC).isoformat()}}}
        try:
            await self._api.patch(CONFIG_MAP, namespace, name, note)
        except ApiRefused as refusal:
            if not refusal.not_found:
                raise

    async def remove(self, owner: Object) -> None:
        """Remove a ConfigMap and all that belongs to it. Raises `ApiError`."""
        metadata = owner["metadata"]
        try:
            await self._api.delete(
                CONFIG_MAP, metadata["namespace"], metadata["name"], propagation="Background", uid=metadata["uid"]
            )
        except ApiRefused as refusal:
            if not refusal.not_found and not refusal.conflict:
                raise

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._known.values()))

    async def _make(self, namespace: str, name: str, execution: Execution) -> Object:
        manifest = {
            "apiVersion": CONFIG_MAP.api_version,
            "kind": CONFIG_MAP.kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {INSTANCE: self._instance},
                "annotations": execution_annotations(execution),
            },
        }
        try:
            made = await self._api.create(CONFIG_MAP, namespace, manifest)
        except ApiRefused as refusal:
            if not refusal.already_exists:
                raise
            made = await self._api.get(CONFIG_MAP, namespace, name)
            if execution_in(made) != execution:
                raise NotLaunchable(
                    "OwnerNameTaken",
                    f"the ConfigMap {namespace}/{name} is not that of execution {'/'.join(execution)}",
                    system=True,
                ) from refusal
        self._changed(made)
        return made

    def _changed(self, seen: Object) -> None:
        metadata = seen["metadata"]
        place = metadata["namespace"], metadata["name"]
        # What belongs to one that is being removed would be removed with it.
        if metadata.get("deletionTimestamp"):
            self._known.pop(place, None)
        else:
            self._known[place] = seen

    def _gone(self, last: Object) -> None:
        metadata = last["metadata"]
        place = metadata["namespace"], metadata["name"]
        known = self._known.get(place)
        if known is not None and known["metadata"]["uid"] == metadata["uid"]:
            del self._known[place]


def ended_at(owner: Object) -> datetime | None:
    """When the execution of a ConfigMap ended; None: not yet, or nobody noted it."""
    text = (owner["metadata"].get("annotations") or {}).get(_ENDED_AT)
    return datetime.fromisoformat(text) if text else None


def made_at(owner: Object) -> datetime:
    """When an object was made."""
    return datetime.fromisoformat(owner["metadata"]["creationTimestamp"])
