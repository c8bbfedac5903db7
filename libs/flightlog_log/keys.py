"""Keys of projects' personal data: objects of the object store, which nobody but this module reads.

A project's first key is made when something of it is sealed. Two processes that make one at once make two: envelopes
name the one that they were sealed with, and both are there. Where a master key is configured, what lies in the object
store is of no use without it.

What is known of keys is asked for anew after some seconds: then a key that was destroyed is gone in every process.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobError, BlobStore
from flightlog_protos.log.v1.envelope_pb2 import DataKey

from .envelopes import new_id
from .errors import LogUnavailable
from .settings import PersonalDataSettings
from .subjects import encode_token

FOLDER: Final = "flightlog/keys"
_BITS: Final = 256
_NONCE_BYTES: Final = 12
_MASTER_ID_BYTES: Final = 8
_KNOWN: Final = 10_000


class Keys:
    """The keys of all projects. Everything raises `LogUnavailable` when the object store cannot be reached.

    Args:
        clock: seconds that never go back.

    Attributes:
        seconds: after so many, a key that was destroyed is gone in every process.
    """

    def __init__(
        self, blobs: BlobStore, settings: PersonalDataSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._blobs = blobs
        self.seconds = settings.key_seconds
        self._clock = clock
        secrets = [] if settings.master_key is None else [settings.master_key, *settings.former_master_keys]
        values = [bytes.fromhex(secret.get_secret_value()) for secret in secrets]
        self._masters = {_master_id(value): AESGCM(value) for value in values}
        self._current: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], tuple[AESGCM | None, float]] = OrderedDict()
        self._loading = asyncio.Lock()

    async def current(self, project: str, *, make: bool = True) -> tuple[str, AESGCM] | None:
        """The key to seal a project's personal data with, by its id. Without `make`: None where there is none yet."""
        found = self._fresh_current(project)
        if found is None:
            async with self._loading:
                found = self._fresh_current(project) or await self._find_current(project)
        if found is None and make:
            found = await self.make(project)
        return found

    async def get(self, project: str, key_id: str) -> AESGCM | None:
        """A key by its id; None when it was destroyed.

        Raises `LogUnavailable` too for one that was wrapped with a master key that is not configured: it is there, and
        what was sealed with it is not to be taken for erased.
        """
        known = self._known.get((project, key_id))
        if known is not None and known[1] > self._clock():
            return known[0]
        async with self._loading:
            known = self._known.get((project, key_id))
            if known is not None and known[1] > self._clock():
                return known[0]
            return await self._load(project, key_id)

    async def make(self, project: str) -> tuple[str, AESGCM]:
        """Another key of the project. This process seals with it; others do when the earlier ones are gone."""
        key_id, value = new_id(), AESGCM.generate_key(_BITS)
        stored = DataKey(key=value)
        if self._masters:
            master_id, master = next(iter(self._masters.items()))
            nonce = os.urandom(_NONCE_BYTES)
            wrapped = master.encrypt(nonce, value, _wrapped_beside(project, key_id))
            stored = DataKey(key=wrapped, nonce=nonce, master_key_id=master_id)
        try:
            await self._blobs.put(self._uri(project, key_id), stored.SerializeToString())
        except BlobError as error:
            raise LogUnavailable(f"a key of project {project} cannot be kept: {error}") from error
        key = AESGCM(value)
        self._remember(project, key_id, key)
        self._remember_current(project, key_id)
        return key_id, key

    async def ids(self, project: str) -> list[str]:
        """The ids of all keys of a project, oldest first."""
        try:
            return [entry.name for entry in await self._blobs.entries(self._folder(project))]
        except BlobError as error:
            raise LogUnavailable(f"the keys of project {project} cannot be listed: {error}") from error

    async def destroy(self, project: str, key_ids: Iterable[str]) -> None:
        """Delete keys for good, and forget them here. Those that are gone already are no error."""
        for key_id in key_ids:
            try:
                await self._blobs.delete(self._uri(project, key_id))
            except BlobError as error:
                raise LogUnavailable(f"key {key_id} of project {project} cannot be deleted: {error}") from error
            self._remember(project, key_id, None)
            if self._current.get(project, ("", 0.0))[0] == key_id:
                del self._current[project]

    def _fresh_current(self, project: str) -> tuple[str, AESGCM] | None:
        key_id, until = self._current.get(project, ("", 0.0))
        key, _ = self._known.get((project, key_id), (None, 0.0))
        return (key_id, key) if key is not None and until > self._clock() else None

    async def _find_current(self, project: str) -> tuple[str, AESGCM] | None:
        for key_id in await self.ids(project):
            key = await self._load(project, key_id)
            if key is not None:
                self._remember_current(project, key_id)
                return key_id, key
        return None

    async def _load(self, project: str, key_id: str) -> AESGCM | None:
        try:
            data = await self._blobs.get_or_none(self._uri(project, key_id))
        except BlobError as error:
            raise LogUnavailable(f"key {key_id} of project {project} cannot be read: {error}") from error
        key = None if data is None else self._unwrapped(project, key_id, data)
        self._remember(project, key_id, key)
        return key

    def _unwrapped(self, project: str, key_id: str, data: bytes) -> AESGCM:
        try:
            stored = DataKey.FromString(data)
            if not stored.master_key_id:
                return AESGCM(stored.key)
            master = self._masters.get(stored.master_key_id)
            if master is None:
                raise LogUnavailable(
                    f"key {key_id} of project {project} is wrapped with master key {stored.master_key_id.hex()}, "
                    "which is not configured here"
                )
            return AESGCM(master.decrypt(stored.nonce, stored.key, _wrapped_beside(project, key_id)))
        except (DecodeError, InvalidTag, ValueError) as error:
            raise LogUnavailable(f"key {key_id} of project {project} is damaged: {error!r}") from error

    def _remember(self, project: str, key_id: str, key: AESGCM | None) -> None:
        self._known[project, key_id] = (key, self._clock() + self.seconds)
        self._known.move_to_end((project, key_id))
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    def _remember_current(self, project: str, key_id: str) -> None:
        self._current[project] = (key_id, self._clock() + self.seconds)
        self._current.move_to_end(project)
        if len(self._current) > _KNOWN:
            self._current.popitem(last=False)

    def _folder(self, project: str) -> str:
        return self._blobs.uri(FOLDER, encode_token(project))

    def _uri(self, project: str, key_id: str) -> str:
        return f"{self._folder(project)}/{key_id}"


def _master_id(value: bytes) -> bytes:
    return sha256(value).digest()[:_MASTER_ID_BYTES]


def _wrapped_beside(project: str, key_id: str) -> bytes:
    return f"{project}/{key_id}".encode()
