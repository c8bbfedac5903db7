"""Workflows that run launch plans."""

import time

from flytekit import LaunchPlan, Resources, reference_launch_plan, task, workflow
from flytekit.core.workflow import WorkflowFailurePolicy

SMALL = Resources(cpu="100m", mem="200Mi")


@task(requests=SMALL)
def increment(x: int) -> int:
    return x + 1


@task(requests=SMALL)
def explode(x: int) -> int:
    if x >= 0:
        raise ValueError(f"cannot have {x}")
    return x


@task(requests=SMALL)
def linger(x: int) -> int:
    time.sleep(300)
    return x


@workflow
def twice(x: int) -> int:
    return increment(x=increment(x=x))


@workflow
def breaking(x: int) -> int:
    return explode(x=x)


@workflow
def waiting(x: int) -> int:
    return linger(x=x)


plan_twice = LaunchPlan.get_or_create(twice, "plan_twice", default_inputs={"x": 10})
plan_fixed = LaunchPlan.get_or_create(twice, "plan_fixed", fixed_inputs={"x": 5})
plan_breaking = LaunchPlan.get_or_create(breaking, "plan_breaking")
plan_waiting = LaunchPlan.get_or_create(waiting, "plan_waiting")


@workflow
def launching(x: int = 1) -> int:
    """A launch plan's input given, one left to its default, one fixed."""
    return increment(x=plan_twice(x=plan_twice(x=x)))


@workflow
def defaults() -> (int, int):
    return plan_twice(), plan_fixed()


@workflow
def deeper(x: int = 1) -> int:
    return plan_launching(x=x)


@workflow
def failing(x: int = 7) -> int:
    return increment(x=plan_breaking(x=x))


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def failing_late(x: int = 7) -> (int, int):
    return plan_breaking(x=x), plan_twice(x=x)


@workflow
def stuck(x: int = 1) -> int:
    return plan_waiting(x=x)


plan_launching = LaunchPlan.get_or_create(launching, "plan_launching")


@reference_launch_plan(project="flytesnacks", domain="staging", name="plan_elsewhere", version="remote-1")
def elsewhere(x: int) -> int: ...


@workflow
def referring(x: int = 1) -> int:
    return increment(x=elsewhere(x=x))
