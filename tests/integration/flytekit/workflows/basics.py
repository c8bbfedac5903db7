"""Workflows of the everyday kind."""

import os
import time
from dataclasses import dataclass
from datetime import timedelta

from flytekit import Resources, current_context, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException

SMALL = Resources(cpu="100m", mem="200Mi")


@dataclass
class Shape:
    width: int
    height: int


@task(requests=SMALL)
def add(a: int, b: int = 1) -> int:
    print(f"adding {a} and {b}")
    return a + b


@task(requests=SMALL)
def area(shape: Shape) -> int:
    return shape.width * shape.height


@task(requests=SMALL)
def make_shape(width: int) -> Shape:
    return Shape(width=width, height=2)


@workflow
def twice(x: int) -> int:
    return add(a=add(a=x))


@workflow
def chain(x: int = 1) -> int:
    """A task, a sub-workflow, and an attribute of a dataclass as an input."""
    shape = make_shape(width=x)
    grown = twice(x=shape.width)
    total = add(a=grown, b=area(shape=shape))
    return total


@task(requests=SMALL)
def note(text: str) -> None:
    print(text)


@workflow
def ordered() -> None:
    """Order without data."""
    first = note(text="first")
    second = note(text="second")
    first >> second


@task(requests=SMALL)
def explode(reason: str) -> int:
    if reason:
        raise ValueError(f"this task never works: {reason}")
    return 0


@workflow
def failing(reason: str = "by design") -> int:
    return add(a=explode(reason=reason))


@task(retries=2, requests=SMALL)
def third_time_lucky() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt < 2:
        raise FlyteRecoverableException(f"attempt {attempt} fails")
    return attempt


@workflow
def retried() -> int:
    return third_time_lucky()


@task(requests=SMALL)
def sleep_long(seconds: int) -> int:
    print(f"pid {os.getpid()}", flush=True)
    time.sleep(seconds)
    return seconds


@workflow
def slow(seconds: int = 300) -> int:
    return sleep_long(seconds=seconds)


@task(timeout=timedelta(seconds=2), requests=SMALL)
def too_slow() -> int:
    time.sleep(300)
    return 1


@workflow
def late() -> int:
    return too_slow()


@task(requests=SMALL)
def die() -> int:
    os._exit(3)
    return 0


@workflow
def dying() -> int:
    return die()


@task(requests=SMALL)
def whoami() -> dict[str, str]:
    context = current_context()
    return {
        "execution": context.execution_id.name,
        "project": context.execution_id.project,
        "domain": context.execution_id.domain,
        "task": context.task_id.name,
        "greeting": os.environ.get("GREETING", ""),
        "leak": ",".join(name for name in os.environ if name.startswith("FLIGHTLOG")),
    }


@workflow
def identity() -> dict[str, str]:
    return whoami()


@task(requests=Resources(gpu="1", cpu="100m", mem="200Mi"), limits=Resources(gpu="1", cpu="1", mem="200Mi"))
def on_gpu() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


@workflow
def gpu() -> str:
    return on_gpu()
