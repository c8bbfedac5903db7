"""Workflows whose tasks ask for more nodes at run time."""

from typing import List

from flytekit import Resources, conditional, dynamic, map_task, task, workflow

SMALL = Resources(cpu="100m", mem="200Mi")


@task(requests=SMALL)
def increment(x: int) -> int:
    return x + 1


@task(requests=SMALL)
def total(xs: List[int]) -> int:
    return sum(xs)


@task(requests=SMALL)
def explode(x: int) -> int:
    if x >= 0:
        raise ValueError(f"cannot have {x}")
    return x


@dynamic(requests=SMALL)
def count(n: int) -> List[int]:
    """As many tasks as asked for; none for 0."""
    return [increment(x=i) for i in range(n)]


@workflow
def counting(n: int = 3) -> int:
    return total(xs=count(n=n))


@dynamic(requests=SMALL, retries=3)
def fails_inside(x: int) -> int:
    return explode(x=x)


@workflow
def failing(x: int = 7) -> int:
    return fails_inside(x=x)


@workflow
def twice(x: int) -> int:
    return increment(x=increment(x=x))


@dynamic(requests=SMALL)
def inner(x: int) -> int:
    return increment(x=x)


@dynamic(requests=SMALL)
def outer(x: int) -> int:
    """A sub-workflow, and another dynamic task after it."""
    return inner(x=twice(x=x))


@workflow
def around(x: int) -> int:
    return outer(x=x)


@workflow
def nesting(x: int = 1) -> int:
    """A dynamic task in a dynamic task, in a sub-workflow."""
    return around(x=x)


@dynamic(requests=SMALL)
def decide(n: int) -> int:
    """A map, and a conditional over what came of it."""
    summed = total(xs=map_task(increment)(x=list(range(n))))
    return conditional("size").if_(summed > 5).then(increment(x=summed)).else_().then(explode(x=summed))


@workflow
def deciding(n: int = 3) -> int:
    return decide(n=n)


@dynamic(requests=SMALL, cache=True, cache_version="1")
def remembered(n: int) -> List[int]:
    return [increment(x=i) for i in range(n)]


@workflow
def remembering(n: int = 2) -> int:
    return total(xs=remembered(n=n))
