"""Maps: with lists and bound values, over nothing, with failures, inside other workflows, of the old kind."""

import functools
import os
import time

from flytekit import LaunchPlan, Resources, dynamic, map_task, task, workflow
from flytekit.core.legacy_map_task import map_task as legacy_map_task
from flytekit.exceptions.user import FlyteRecoverableException

SMALL = Resources(cpu="100m", mem="200Mi")


@task(requests=SMALL)
def double(x: int) -> int:
    return 2 * x


@task(requests=SMALL)
def add(x: int, y: int) -> int:
    return x + y


@task(requests=SMALL)
def weigh(x: int, weights: list[int], label: str) -> str:
    return f"{label}{x * sum(weights)}"


@task(requests=SMALL)
def total(xs: list[int]) -> int:
    return sum(xs)


@workflow
def doubling(xs: list[int]) -> int:
    return total(xs=map_task(double)(x=xs))


@workflow
def pairs(xs: list[int], ys: list[int]) -> list[int]:
    return map_task(add)(x=xs, y=ys)


@workflow
def weighed(label: str, xs: list[int]) -> list[str]:
    """A list and a value that are the same for all elements."""
    return map_task(functools.partial(weigh, weights=[3, 4], label=label))(x=xs)


@task(requests=SMALL)
def pause(x: int) -> list[float]:
    begun = time.time()
    time.sleep(0.3)
    return [begun, time.time()]


@workflow
def one_by_one(xs: list[int]) -> list[list[float]]:
    return map_task(pause, concurrency=1)(x=xs)


@task(requests=SMALL)
def even(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


@workflow
def half(xs: list[int]) -> list[int | None]:
    return map_task(even, min_success_ratio=0.5)(x=xs)


@workflow
def at_least_two(xs: list[int]) -> list[int | None]:
    return map_task(even, min_successes=2, min_success_ratio=None)(x=xs)


@workflow
def all_even(xs: list[int]) -> list[int]:
    return map_task(even)(x=xs)


@task(requests=SMALL, retries=2)
def second_time(x: int) -> int:
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise FlyteRecoverableException("again")
    return x


@workflow
def trying_again(xs: list[int]) -> list[int]:
    return map_task(second_time)(x=xs)


@task(requests=SMALL)
def wait(x: int) -> int:
    time.sleep(600)
    return x


@workflow
def waiting(xs: list[int]) -> list[int]:
    return map_task(wait, concurrency=2)(x=xs)


@workflow
def inner(xs: list[int]) -> list[int]:
    return map_task(double)(x=xs)


@workflow
def nested(xs: list[int]) -> int:
    return total(xs=inner(xs=inner(xs=xs)))


@dynamic(requests=SMALL)
def ranges(n: int) -> list[int]:
    return map_task(double)(x=list(range(n)))


@workflow
def at_run_time(n: int = 3) -> int:
    return total(xs=ranges(n=n))


@task(requests=SMALL)
def say(x: int):
    print(f"this is {x}")


@workflow
def silent(xs: list[int]):
    map_task(say)(x=xs)


doubling_plan = LaunchPlan.get_or_create(doubling, "maps.doubling_plan")


@workflow
def over_plans(xss: list[list[int]]) -> list[int]:
    return map_task(doubling_plan)(xs=xss)


@workflow
def checked(x: int) -> int:
    return even(x=x)


checked_plan = LaunchPlan.get_or_create(checked, "maps.checked_plan")


@workflow
def over_failing_plans(xs: list[int]) -> list[int]:
    return map_task(checked_plan)(x=xs)


old_double = legacy_map_task(double)
old_add = legacy_map_task(functools.partial(add, y=10), concurrency=1)
old_even = legacy_map_task(even, min_success_ratio=0.5)


@workflow
def old(xs: list[int]) -> list[int]:
    return old_add(x=old_double(x=xs))


@workflow
def old_half(xs: list[int]) -> list[int | None]:
    return old_even(x=xs)
