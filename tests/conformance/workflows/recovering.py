"""Executions that fail the first time and work when they are recovered: the recovered one runs under another name."""

import os
import typing

from flytekit import current_context, dynamic, map_task, task, workflow


@task
def inc(x: int) -> int:
    return x + 1


def first_time() -> bool:
    """Whether this is not the recovery: a mark of the task's environment that only the first execution was given."""
    return os.environ.get("FIRST_EXECUTION") == current_context().execution_id.name


@task
def breaks_at_first(x: int) -> int:
    if first_time():
        raise ValueError("broken at first")
    return x + 100


@workflow
def chain(x: int = 1) -> int:
    return inc(x=breaks_at_first(x=inc(x=inc(x=x))))


@dynamic
def plan(n: int) -> typing.List[int]:
    first = inc(x=n)
    return [first, breaks_at_first(x=first)]


@workflow
def of_dynamic(n: int = 1) -> typing.List[int]:
    return plan(n=n)


@workflow
def inner(x: int) -> int:
    return breaks_at_first(x=inc(x=x))


@workflow
def of_subworkflow(x: int = 1) -> int:
    return inc(x=inner(x=x))


@task
def odd_breaks_at_first(x: int) -> int:
    if x % 2 and first_time():
        raise ValueError("odd at first")
    return x * 10


@workflow
def of_map(xs: typing.List[int] = [0, 1, 2]) -> typing.List[int]:
    return map_task(odd_breaks_at_first)(x=xs)


@task
def goes_on(x: int) -> typing.List[str]:
    """Which executions left a checkpoint here."""
    checkpoint = current_context().checkpoint
    found = checkpoint.read()
    names = found.decode().split(",") if found else []
    names.append(current_context().execution_id.name)
    checkpoint.write(",".join(names).encode())
    if first_time():
        raise ValueError("stopped at first")
    return names


@workflow
def of_checkpoint(x: int = 1) -> typing.List[str]:
    return goes_on(x=x)
