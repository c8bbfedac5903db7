"""Eager workflows: Python code that creates executions while it runs."""

import asyncio
import time
import typing
from pathlib import Path

from flytekit import Resources, eager, task, workflow
from flytekit.exceptions.eager import EagerException

SMALL = Resources(cpu="100m", mem="200Mi")


@task(requests=SMALL)
async def increment(x: int) -> int:
    return x + 1


@task(requests=SMALL)
def plain_increment(x: int) -> int:
    return x + 1


@task(requests=SMALL)
async def refuse(x: int) -> int:
    if x >= 0:
        raise ValueError(f"{x} is too much")
    return x


@task(requests=SMALL)
async def wait(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.02)
    return path


@workflow
def twice(x: int) -> int:
    return plain_increment(x=plain_increment(x=x))


@eager(requests=SMALL)
async def inner(x: int) -> int:
    return await increment(x=x)


@eager(requests=SMALL)
async def everything(x: int) -> typing.List[int]:
    """Tasks and an eager workflow within this one at once, then a workflow; what is called depends on a result."""
    first, second, fourth = await asyncio.gather(increment(x=x), increment(x=10 * x), inner(x=4 * x))
    third = twice(x=first) if first > 1 else 0
    return [first, second, third, fourth]


@eager(requests=SMALL)
async def forgiving(x: int) -> str:
    try:
        return str(await refuse(x=x))
    except EagerException as error:
        return f"caught: {error}"


@eager(requests=SMALL)
async def waiting(path: str) -> str:
    return await wait(path=path)


@eager(requests=SMALL)
async def failing_beside(path: str) -> int:
    """One call fails while another goes on."""
    _, refused = await asyncio.gather(wait(path=path), refuse(x=1))
    return refused
