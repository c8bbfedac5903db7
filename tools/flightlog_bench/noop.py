"""Tasks whose runs are measured."""

from flytekit import dynamic, map_task, task, workflow
from flytekit.core.task import Echo

echo = Echo(name="flightlog_bench.noop.echo", inputs={"a": int})


@task
def noop() -> int:
    return 1


@task
def plus_one(number: int) -> int:
    return number + 1


@workflow
def one_task() -> int:
    return noop()


@workflow
def five_tasks() -> int:
    return plus_one(number=plus_one(number=plus_one(number=plus_one(number=noop()))))


@workflow
def ten_elements() -> list[int]:
    return map_task(plus_one)(number=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])


@dynamic
def many(count: int) -> list[int]:
    return [echo(a=number) for number in range(count)]


@workflow
def dynamic_of_100() -> list[int]:
    return many(count=100)
