"""Keys of CacheService: one text each."""

from __future__ import annotations

from typing import Final

from flyteidl.core.identifier_pb2 import DATASET, Identifier

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_rpc import invalid

ENGINE: Final = "flyte_cached-"
"""How tags of the engine's results begin (engine-semantics §4.2)."""


def key_of(key: str) -> CacheKey:
    """The entry of a key.

    `<project>/<domain>/<dataset name>/<dataset version>/<tag>` with a tag of the engine's is the engine's entry; any
    other text is an entry of its own, without a dataset. Cache versions may have slashes in them.

    Raises:
        RpcError: INVALID_ARGUMENT without a key.
    """
    if not key:
        raise invalid("key is required")
    named, _, tag = key.rpartition("/")
    parts = named.split("/", 3)
    if len(parts) == 4 and all(parts) and tag.startswith(ENGINE):
        project, domain, name, version = parts
        dataset = Identifier(resource_type=DATASET, project=project, domain=domain, name=name, version=version)
        return CacheKey(dataset=dataset, tag=tag)
    return CacheKey(tag=key)
