"""Map tasks."""

import functools
import os
import time
import typing

from flytekit import LaunchPlan, map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task
def inc(x: int) -> int:
    return x + 1


@workflow
def plain(xs: typing.List[int] = [1, 2, 3, 4, 5]) -> typing.List[int]:
    return map_task(inc)(x=xs)


@workflow
def empty(xs: typing.List[int] = []) -> typing.List[int]:
    return map_task(inc)(x=xs)


@task
def small_only(x: int, limit: int) -> int:
    if x >= limit:
        raise ValueError(f"{limit} is the limit")
    return x


@workflow
def tolerant(limit: int, xs: typing.List[int] = [0, 1, 2, 3, 4]) -> typing.List[typing.Optional[int]]:
    return map_task(functools.partial(small_only, limit=limit), min_success_ratio=0.6)(x=xs)


@task
def stamp(x: int) -> typing.List[float]:
    begun = time.time()
    time.sleep(0.3)
    return [begun, time.time()]


@workflow
def two_at_once(xs: typing.List[int] = [0, 1, 2, 3, 4]) -> typing.List[typing.List[float]]:
    return map_task(stamp, concurrency=2)(x=xs)


@task(retries=1)
def third_needs_two(x: int) -> int:
    if x == 3 and os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise FlyteRecoverableException("not yet")
    return x


@workflow
def retried(xs: typing.List[int] = [0, 1, 2, 3, 4]) -> typing.List[int]:
    return map_task(third_needs_two)(x=xs)


@task
def add(x: int, y: int) -> int:
    return x + y


@workflow
def unequal(xs: typing.List[int] = [1, 2], ys: typing.List[int] = [1, 2, 3]) -> typing.List[int]:
    return map_task(add)(x=xs, y=ys)


@workflow
def together(xs: typing.List[int] = [1, 2], ys: typing.List[int] = [10, 20]) -> typing.List[int]:
    return map_task(add)(x=xs, y=ys)


@workflow
def bound(xs: typing.List[int] = [1, 2, 3], y: int = 10) -> typing.List[int]:
    return map_task(functools.partial(add, y=y))(x=xs)


@task
def bulky(x: int) -> str:
    return chr(ord("a") + x) * 600_000


@task
def lengths(texts: typing.List[str]) -> typing.List[int]:
    return [len(text) for text in texts]


@workflow
def large(xs: typing.List[int] = [0, 1, 2, 3]) -> typing.List[int]:
    return lengths(texts=map_task(bulky)(x=xs))


@task
def broken(x: int) -> int:
    if x % 2:
        raise ValueError("odd numbers break")
    return x


@workflow
def failing(xs: typing.List[int] = [0, 1, 2, 3]) -> typing.List[int]:
    return map_task(broken)(x=xs)


@workflow
def element(x: int) -> int:
    return inc(x=x)


element_plan = LaunchPlan.get_or_create(element, "maps.element_plan")


@workflow
def over_launch_plan(xs: typing.List[int] = [1, 2, 3]) -> typing.List[int]:
    return map_task(element_plan)(x=xs)
