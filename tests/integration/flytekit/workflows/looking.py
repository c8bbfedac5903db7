"""Tasks whose cached results are looked into. The tests register it in several editions, each a little different."""

import random
import time
from pathlib import Path

from flytekit import Cache, dynamic, map_task, task, workflow


@task(cache=True, cache_version="1", cache_ignore_input_vars=("note",))
def weigh(key: str, x: int, note: str) -> int:
    return random.randrange(10**12)


@workflow
def weighing(key: str, x: int, note: str = "none") -> int:
    return weigh(key=key, x=x, note=note)


@task(cache=True, cache_version="1")
def draw(key: str) -> int:
    return random.randrange(10**12)


@workflow
def drawing(keys: list[str]) -> list[int]:
    return map_task(draw)(key=keys)


@dynamic
def draw_inside(key: str) -> int:
    return draw(key=key)


@task
def forget(key: str) -> int:
    return 1


@workflow
def drawing_inside(key: str) -> tuple[int, int]:
    return draw_inside(key=key), forget(key=key)


def await_file(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.05)


@task(cache=True, cache_version="1", cache_ignore_input_vars=("gate",))
def draw_slowly(key: str, gate: str) -> int:
    await_file(gate)
    return random.randrange(10**12)


@task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("gate",))
def draw_alone(key: str, gate: str) -> int:
    await_file(gate)
    return random.randrange(10**12)


@workflow
def drawing_slowly(key: str, gate: str) -> tuple[int, int]:
    return draw_slowly(key=key, gate=gate), draw_alone(key=key, gate=gate)


@workflow
def inner(key: str) -> int:
    return forget(key=key)


@workflow
def remembering(key: str) -> tuple[int, int]:
    return inner(key=key).with_overrides(cache=Cache(version="1", serialize=False)), inner(key=key)
