"""Workflows that wait for something, or fail somewhere below: what `flightlog why` is asked about."""

from datetime import timedelta

from flytekit import LaunchPlan, Resources, dynamic, map_task, sleep, task, wait_for_input, workflow
from flytekit.exceptions.user import FlyteRecoverableException

SMALL = Resources(cpu="100m", mem="200Mi")
HOUR = timedelta(hours=1)


@task(requests=SMALL)
def explode(x: int) -> int:
    if x >= 0:
        raise ValueError(f"cannot have {x}")
    return x


@task(requests=SMALL, retries=3, annotations={"flightlog/retry-backoff": "1h", "flightlog/retry-backoff-max": "1h"})
def patient(x: int) -> int:
    if x >= 0:
        raise FlyteRecoverableException(f"not yet {x}")
    return x


@dynamic(requests=SMALL)
def plan(x: int) -> int:
    return explode(x=x)


@workflow
def below(x: int) -> int:
    return plan(x=x)


@workflow
def asking(x: int) -> int:
    return wait_for_input("sure", timeout=HOUR, expected_type=int)


plan_below = LaunchPlan.get_or_create(below, "why_below")
plan_asking = LaunchPlan.get_or_create(asking, "why_asking")


@workflow
def failing(x: int) -> int:
    return plan_below(x=x)


@workflow
def mapping(xs: list[int]) -> list[int]:
    return map_task(explode)(x=xs)


@workflow
def waiting(x: int) -> (int, int, int):
    number = wait_for_input("go", timeout=HOUR, expected_type=int)
    sleep(HOUR)
    return number, plan_asking(x=x), patient(x=x)
