"""The streams are made by whoever connects first, and left alone by the others."""

from __future__ import annotations

import asyncio
from typing import Any

from flightlog_blobs import BlobStore
from flightlog_log import Log
from tests.integration.log.shared import OwnNats

STREAMS = ("REGISTRY", "EXECUTION", "LAUNCHER", "CATALOG", "ALARM", "PARKED")


async def configurations(own_nats: OwnNats) -> dict[str, Any]:
    async with await own_nats.client() as client:
        js = client.jetstream()
        return {name: (await js.stream_info(name)).config for name in STREAMS}


async def test_streams_lose_nothing_by_themselves_and_answer_direct_gets(log: Log, own_nats: OwnNats) -> None:
    for name, config in (await configurations(own_nats)).items():
        assert config.storage == "file"
        assert config.retention == "limits"
        assert config.allow_direct
        assert (config.max_age or 0) == 0
        assert config.max_bytes == config.max_msgs == -1
        assert config.max_msgs_per_subject == (1 if name == "ALARM" else -1)


async def test_many_may_connect_at_once_without_a_change_to_the_streams(
    log: Log, own_nats: OwnNats, blobs: BlobStore
) -> None:
    before = await configurations(own_nats)
    changes: list[str] = []

    async with await own_nats.client() as client:

        async def changed(message: Any) -> None:
            changes.append(message.subject)

        await client.subscribe("$JS.API.STREAM.UPDATE.*", cb=changed)
        await client.flush()
        logs = await asyncio.gather(*(Log.connect(own_nats.settings, blobs, name=f"n{n}") for n in range(8)))
        await asyncio.gather(*(log.close() for log in logs))
        await client.flush()
    assert changes == []
    assert await configurations(own_nats) == before
