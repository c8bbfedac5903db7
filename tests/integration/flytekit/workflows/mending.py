"""Workflows that fail until a file exists: what broke them has been mended then."""

from pathlib import Path

from flytekit import LaunchPlan, Resources, dynamic, map_task, task, workflow

SMALL = Resources(cpu="100m", mem="200Mi")


@task(requests=SMALL)
def increment(x: int) -> int:
    return x + 1


@task(requests=SMALL)
def mended(x: int, mark: str) -> int:
    if not Path(mark).exists():
        raise ValueError("not mended yet")
    return x + 100


@workflow
def inner(x: int, mark: str) -> int:
    return mended(x=increment(x=x), mark=mark)


plan_inner = LaunchPlan.get_or_create(inner, "plan_of_mending")


@workflow
def within(x: int, mark: str) -> (int, int):
    """In a sub-workflow that succeeded, in one that failed, and after both."""
    first = increment(x=x)
    return inner(x=first, mark=mark), first


@workflow
def launched(x: int, mark: str) -> int:
    return increment(x=plan_inner(x=x, mark=mark))


@workflow
def reused(x: int, mark: str) -> int:
    """A launch plan, a dynamic task and a map that succeed, and a task that does not."""
    return mended(x=summed(xs=map_task(increment)(x=counted(n=plan_increment(x=x)))), mark=mark)


@workflow
def only_increment(x: int) -> int:
    return increment(x=x)


plan_increment = LaunchPlan.get_or_create(only_increment, "plan_increment")


@dynamic(requests=SMALL)
def counted(n: int) -> list[int]:
    return [increment(x=i) for i in range(n)]


@task(requests=SMALL)
def summed(xs: list[int]) -> int:
    return sum(xs)
