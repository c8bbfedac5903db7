"""Workflows whose tasks nobody runs: the tests say what became of them."""

from datetime import timedelta

from flytekit import map_task, task, workflow


@task
def double(x: int) -> int:
    return 2 * x


@workflow
def three() -> list[int]:
    return map_task(double)(x=[1, 2, 3])


@workflow
def half_of_two() -> list[int | None]:
    return map_task(double, min_success_ratio=0.5)(x=[1, 2])


@workflow
def two_at_a_time() -> list[int]:
    return map_task(double, concurrency=2)(x=[1, 2, 3, 4, 5, 6, 7, 8])


@task(timeout=timedelta(seconds=3), retries=5)
def slow() -> int:
    return 1


@workflow
def too_slow() -> int:
    return slow()
