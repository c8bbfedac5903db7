"""The Secret with the object store's keys in each namespace of tasks, which pods refer to: no key is in their texts."""

from __future__ import annotations

import asyncio
import base64
from typing import Final

import structlog

from flightlog_blobs import BlobSettings
from services.k8s_launcher.kubernetes.api import Api, Patch
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.objects import SECRET, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

_AGAIN_SECONDS: Final = 60.0
_log = structlog.get_logger(__name__)


class Credentials:
    """Keeps that Secret, unless the settings leave it to somebody else.

    One that somebody else has made with other keys stays as it is.
    """

    def __init__(self, api: Api, settings: KubernetesSettings, store: BlobSettings) -> None:
        self._api = api
        self._settings = settings.raw_containers
        # Several installations may want the same Secret: then it is that of the first.
        self._field_manager = f"flightlog-credentials-{settings.instance}"
        self._keys = {
            self._settings.access_key_entry: store.access_key,
            self._settings.secret_key_entry: store.secret_key.get_secret_value(),
        }
        self._kept: dict[str, float] = {}
        self._left: set[str] = set()
        self._keeping: dict[str, asyncio.Task[None]] = {}

    async def keep(self, namespace: str) -> None:
        """Have the Secret in a namespace. It is looked after again when it was last a minute ago.

        Raises `ApiError`: the namespace is missing, or the API could not for now.
        """
        if not self._settings.keep_credentials_secret:
            return
        kept = self._kept.get(namespace)
        if kept is not None and asyncio.get_running_loop().time() - kept < _AGAIN_SECONDS:
            return
        keeping = self._keeping.get(namespace)
        if keeping is None:
            keeping = self._keeping[namespace] = asyncio.create_task(self._apply(namespace))
            keeping.add_done_callback(lambda _: self._keeping.pop(namespace, None))
        # Shielded: others wait for the same one.
        await asyncio.shield(keeping)

    def forget(self, namespace: str) -> None:
        """A namespace is missing, and the Secret with it."""
        self._kept.pop(namespace, None)

    async def _apply(self, namespace: str) -> None:
        name = self._settings.credentials_secret
        began = asyncio.get_running_loop().time()
        try:
            await self._api.patch(
                SECRET, namespace, name, self._manifest(), how=Patch.APPLY, field_manager=self._field_manager
            )
            self._left.discard(namespace)
        except ApiRefused as refusal:
            if refusal.not_found or refusal.passing:
                raise
            # It is another's, or not ours to make; then there may well be one, and the kubelet says when there is not.
            if namespace not in self._left:
                self._left.add(namespace)
                _log.warning("credentials.left_alone", namespace=namespace, secret=name, reason=str(refusal))
        self._kept[namespace] = began

    def _manifest(self) -> Object:
        return {
            "apiVersion": SECRET.api_version,
            "kind": SECRET.kind,
            "metadata": {"name": self._settings.credentials_secret},
            "data": {entry: base64.b64encode(key.encode()).decode() for entry, key in self._keys.items()},
        }
