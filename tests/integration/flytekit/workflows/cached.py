"""Tasks whose results are cached. What they draw tells whether they ran again; `key` keeps the tests apart."""

import random
import time
import typing

from flytekit import Cache, map_task, task, workflow


@task(cache=True, cache_version="1")
def draw(key: str) -> int:
    return random.randrange(10**12)


@workflow
def drawing(key: str) -> int:
    return draw(key=key)


@task(cache=True, cache_version="1", cache_serialize=True)
def draw_alone(key: str) -> int:
    time.sleep(1.0)
    return random.randrange(10**12)


@workflow
def drawing_alone(key: str) -> int:
    return draw_alone(key=key)


@task(cache=True, cache_version="1", cache_serialize=True, retries=0)
def fail_alone(key: str) -> int:
    time.sleep(0.5)
    raise ValueError("nothing to keep")
    return 0


@workflow
def failing_alone(key: str) -> int:
    return fail_alone(key=key)


@task
def draw_anew(key: str) -> int:
    return random.randrange(10**12)


@workflow
def overridden(key: str) -> typing.Tuple[int, int]:
    remembered = draw_anew(key=key).with_overrides(cache=Cache(version="7", serialize=False))
    forgotten = draw(key=key).with_overrides(cache=False)
    return remembered, forgotten


@workflow
def mapping(keys: typing.List[str]) -> typing.List[int]:
    return map_task(draw)(key=keys)
