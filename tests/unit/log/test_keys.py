"""Keys of personal data: made once, known for a while, gone when destroyed, useless without their master key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Keys, LogUnavailable, PersonalDataSettings
from flightlog_log.envelopes import new_id

MASTER, ANOTHER = "ab" * 32, "cd" * 32


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore.open(
        BlobSettings.model_validate(
            {
                "driver": "directory",
                "bucket": "test",
                "endpoint": "http://127.0.0.1:1",
                "access_key": "nobody-needs-this-key",
                "secret_key": "secret",
                "directory": tmp_path,
            }
        )
    )


@pytest.fixture
def process(blobs: BlobStore) -> Callable[..., Keys]:
    """Keys as another process has them."""

    def made(clock: Callable[[], float] = Clock(), **settings: Any) -> Keys:  # noqa: B008
        return Keys(blobs, PersonalDataSettings.model_validate(settings), clock)

    return made


async def test_what_one_process_seals_another_one_opens(process: Callable[..., Keys]) -> None:
    found = await process().current("p")
    assert found is not None
    key_id, key = found
    other = await process().get("p", key_id)
    assert other is not None
    assert other.decrypt(b"n" * 12, key.encrypt(b"n" * 12, b"text", b""), b"") == b"text"


async def test_a_project_has_one_key_that_is_its_own(process: Callable[..., Keys]) -> None:
    first, again, other = await process().current("p"), await process().current("p"), await process().current("q")
    assert first is not None
    assert again is not None
    assert other is not None
    assert first[0] == again[0] != other[0]
    assert await process().ids("p") == [first[0]]


async def test_without_make_a_project_that_has_no_key_gets_none(process: Callable[..., Keys]) -> None:
    keys = process()
    assert await keys.current("p", make=False) is None
    assert await keys.ids("p") == []
    made = await keys.current("p")
    assert await keys.current("p", make=False) == made


async def test_two_that_make_a_key_at_once_can_both_be_read(process: Callable[..., Keys]) -> None:
    one, other = await process().make("p"), await process().make("p")
    reader = process()
    assert await reader.get("p", one[0]) is not None
    assert await reader.get("p", other[0]) is not None
    current = await reader.current("p")
    assert current is not None
    assert current[0] == min(one[0], other[0]), "whoever comes later takes the older one"


async def test_a_destroyed_key_is_gone_here_at_once_and_elsewhere_within_its_seconds(
    process: Callable[..., Keys],
) -> None:
    clock = Clock()
    elsewhere = process(clock, key_seconds=10)
    key_id, _ = await elsewhere.current("p") or ("", None)
    here = process()
    await here.current("p")
    await here.destroy("p", [key_id])
    await here.destroy("p", [key_id])
    assert await here.get("p", key_id) is None
    clock.now = 9.9
    assert await elsewhere.get("p", key_id) is not None
    clock.now = 10.1
    assert await elsewhere.get("p", key_id) is None
    found = await elsewhere.current("p")
    assert found is not None
    assert found[0] != key_id, "what comes is sealed with another one"


async def test_a_wrapped_key_is_of_no_use_without_its_master_key(
    process: Callable[..., Keys], blobs: BlobStore
) -> None:
    key_id, _ = await process(master_key=MASTER).current("p") or ("", None)
    assert await process(master_key=MASTER).get("p", key_id) is not None
    assert await process(master_key=ANOTHER, former_master_keys=[MASTER]).get("p", key_id) is not None
    for stranger in (process(), process(master_key=ANOTHER)):
        with pytest.raises(LogUnavailable, match="not configured here"):
            await stranger.get("p", key_id)
    # A key is its project's: put into another one's folder, it opens nothing.
    stored = await blobs.get(blobs.uri("flightlog/keys/p", key_id))
    await blobs.put(blobs.uri("flightlog/keys/q", key_id), stored)
    with pytest.raises(LogUnavailable, match="damaged"):
        await process(master_key=MASTER).get("q", key_id)


async def test_a_key_that_never_was_opens_nothing(process: Callable[..., Keys]) -> None:
    assert await process().get("p", new_id()) is None


@pytest.mark.parametrize("value", ["ab", "zz" * 32, ""])
def test_a_master_key_has_256_bits(value: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        PersonalDataSettings.model_validate({"master_key": value})


def test_former_master_keys_need_a_present_one() -> None:
    with pytest.raises(ValueError, match="former_master_keys"):
        PersonalDataSettings.model_validate({"former_master_keys": [MASTER]})
