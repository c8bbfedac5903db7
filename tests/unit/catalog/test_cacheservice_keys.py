"""Keys of CacheService: which of them are entries of the engine."""

from __future__ import annotations

import pytest
from flyteidl.core.identifier_pb2 import DATASET, Identifier

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_rpc import RpcError
from services.catalog import subjects
from services.catalog.api.keys import key_of

TAG = "flyte_cached-qqAlqAgGTLhOTcTGx9dHM6iCwO2o--LdG3I5V8n0oZ0"


@pytest.mark.parametrize("version", ["1.0-aaaaaaaa-bbbbbbbb", "2024/11-aaaaaaaa-bbbbbbbb"])
def test_an_entry_of_the_engine_has_its_datasets_name_and_its_tag(version: str) -> None:
    dataset = Identifier(resource_type=DATASET, project="p", domain="d", name="flyte_task-main.t", version=version)
    assert key_of(f"p/d/flyte_task-main.t/{version}/{TAG}") == CacheKey(dataset=dataset, tag=TAG)


@pytest.mark.parametrize(
    "key", ["k", TAG, f"p/d/n/{TAG}", f"p/d//1/{TAG}", "p/d/n/1/other", f"p/d/n/1/{TAG}/", "/", "a\0b"]
)
def test_any_other_key_is_an_entry_of_its_own(key: str) -> None:
    found = key_of(key)
    assert found == CacheKey(tag=key)
    assert subjects.entry(found) != subjects.entry(CacheKey(tag=f"{key}."))


def test_there_must_be_one() -> None:
    with pytest.raises(RpcError, match="key is required"):
        key_of("")
