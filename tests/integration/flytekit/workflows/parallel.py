"""A run whose launch plans run side by side, as far as they may."""

import time
import typing

from flytekit import LaunchPlan, map_task, task, workflow


@task
def work(number: int) -> int:
    time.sleep(0.1)
    return number


@workflow
def three(number: int) -> int:
    work(number=number)
    work(number=number)
    return work(number=number)


plan = LaunchPlan.get_or_create(three, "parallel.three_plan")


@workflow
def twelve() -> typing.Tuple[int, int, typing.List[int]]:
    mapped = map_task(plan)(number=[3, 4])
    return plan(number=1), plan(number=2), mapped
