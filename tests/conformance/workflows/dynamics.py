"""Tasks that make nodes while they run."""

import typing

from flytekit import LaunchPlan, dynamic, map_task, task, workflow


@task
def inc(x: int) -> int:
    return x + 1


@dynamic
def many(n: int) -> typing.List[int]:
    return [inc(x=number) for number in range(n)]


@workflow
def planned(n: int = 2) -> typing.List[int]:
    return many(n=n)


@dynamic
def few(n: int) -> int:
    """Makes no nodes at all."""
    return n + 1


@workflow
def unplanned(n: int = 2) -> int:
    return few(n=n)


@task
def broken(x: int) -> int:
    raise ValueError("a child broke")
    return 0


@dynamic(retries=3)
def with_broken_child(n: int) -> int:
    return broken(x=n)


@workflow
def failing_child(n: int = 2) -> int:
    return with_broken_child(n=n)


@dynamic
def fails_itself(n: int) -> int:
    raise ValueError("the plan broke")
    return 0


@workflow
def failing_plan(n: int = 2) -> int:
    return fails_itself(n=n)


@workflow
def pair(x: int) -> int:
    return inc(x=inc(x=x))


pair_plan = LaunchPlan.get_or_create(pair, "dynamics.pair_plan")


@dynamic
def inner(n: int) -> int:
    return inc(x=n)


@dynamic
def of_all_kinds(n: int) -> typing.List[int]:
    """A sub-workflow, a launch plan, a map, a dynamic."""
    mapped = map_task(inc)(x=[n, n + 1])
    return [pair(x=n), pair_plan(x=n), mapped[1], inner(n=n)]


@workflow
def all_kinds(n: int = 10) -> typing.List[int]:
    return of_all_kinds(n=n)


@workflow
def deep_inner(n: int) -> int:
    return inner(n=n).with_overrides(node_name="a-rather-long-name-of-a-node")


@workflow
def deep(n: int = 1) -> int:
    """Dynamic in a sub-workflow in a dynamic."""
    return deep_dynamic(n=n).with_overrides(node_name="outermost-of-the-nodes")


@dynamic
def deep_dynamic(n: int) -> int:
    return deep_inner(n=n)
