"""Nodes that are executions of their own."""

import os
import time
import typing

from flytekit import LaunchPlan, task, workflow


@task
def inc(x: int) -> int:
    return x + 1


@workflow
def child(x: int) -> int:
    return inc(x=x)


child_plan = LaunchPlan.get_or_create(child, "launch_plans.child_plan", default_inputs={"x": 5})


@workflow
def parent() -> int:
    return inc(x=child_plan())


@task
def broken(x: int) -> int:
    raise ValueError("the child broke")
    return 0


@workflow
def broken_child(x: int) -> int:
    return broken(x=x)


broken_plan = LaunchPlan.get_or_create(broken_child, "launch_plans.broken_plan")


@workflow
def parent_of_broken(x: int = 1) -> int:
    return inc(x=broken_plan(x=x))


@task
def block(x: int) -> int:
    time.sleep(300)
    return x


@workflow
def blocked_child(x: int) -> int:
    return block(x=x)


blocked_plan = LaunchPlan.get_or_create(blocked_child, "launch_plans.blocked_plan")


@workflow
def parent_of_blocked(x: int = 1) -> int:
    return blocked_plan(x=x)


@task
def greeting() -> str:
    return os.environ.get("GREETING", "")


@workflow
def greeting_child() -> str:
    return greeting()


greeting_plan = LaunchPlan.get_or_create(greeting_child, "launch_plans.greeting_plan")


@workflow
def parent_of_greeting() -> str:
    return greeting_plan()


@workflow
def two_children(x: int = 1) -> typing.Tuple[int, int]:
    """The same launch plan twice, one after the other."""
    first = child_plan(x=x)
    second = child_plan(x=first)
    return first, second
