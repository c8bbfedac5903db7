"""Tasks whose results are cached. What they draw tells whether they ran again; `key` keeps the tests apart."""

import random
import time
import typing

from flytekit import Cache, LaunchPlan, dynamic, map_task, task, workflow


@task(cache=True, cache_version="1")
def draw(key: str) -> int:
    return random.randrange(10**12)


@workflow
def drawing(key: str) -> int:
    return draw(key=key)


@task(cache=True, cache_version="1", cache_serialize=True)
def draw_alone(key: str) -> int:
    time.sleep(1.0)
    return random.randrange(10**12)


@workflow
def drawing_alone(key: str) -> int:
    return draw_alone(key=key)


@task(cache=True, cache_version="1", cache_serialize=True, retries=0)
def fail_alone(key: str) -> int:
    time.sleep(0.5)
    raise ValueError("nothing to keep")
    return 0


@workflow
def failing_alone(key: str) -> int:
    return fail_alone(key=key)


@task
def draw_anew(key: str) -> int:
    return random.randrange(10**12)


@workflow
def overridden(key: str) -> typing.Tuple[int, int]:
    remembered = draw_anew(key=key).with_overrides(cache=Cache(version="7", serialize=False))
    forgotten = draw(key=key).with_overrides(cache=False)
    return remembered, forgotten


@workflow
def mapping(keys: typing.List[str]) -> typing.List[int]:
    return map_task(draw)(key=keys)


@workflow
def inner(key: str) -> int:
    return draw_anew(key=key)


@workflow
def remembering_workflow(key: str) -> int:
    return inner(key=key).with_overrides(cache=Cache(version="1"))


@workflow
def remembering_workflow_anew(key: str) -> int:
    return inner(key=key).with_overrides(cache=Cache(version="2"))


plan = LaunchPlan.get_or_create(inner, "cached.inner_plan")


@workflow
def remembering_launch_plan(key: str) -> int:
    return plan(key=key).with_overrides(cache=True, cache_version="1")


@task
def draw_slowly(key: str) -> int:
    time.sleep(1.0)
    return random.randrange(10**12)


@workflow
def inner_slow(key: str) -> int:
    return draw_slowly(key=key)


@workflow
def workflow_alone(key: str) -> int:
    return inner_slow(key=key).with_overrides(cache=Cache(version="1", serialize=True))


slow_plan = LaunchPlan.get_or_create(inner_slow, "cached.inner_slow_plan")


@workflow
def launch_plan_alone(key: str) -> int:
    return slow_plan(key=key).with_overrides(cache=Cache(version="1", serialize=True))


@workflow
def mapped_launch_plan(keys: typing.List[str]) -> typing.List[int]:
    return map_task(plan)(key=keys).with_overrides(cache=Cache(version="3"))


@dynamic
def asks(key: str) -> typing.Tuple[int, int]:
    of_workflow = inner(key=key).with_overrides(cache=Cache(version="4"))
    of_launch_plan = plan(key=key).with_overrides(cache=Cache(version="4"))
    return of_workflow, of_launch_plan


@workflow
def asking(key: str) -> typing.Tuple[int, int]:
    return asks(key=key)


@task(cache=True, cache_version="1")
def fail(key: str) -> int:
    raise ValueError("nothing to keep")
    return 0


@workflow
def failing(key: str) -> int:
    return fail(key=key)
