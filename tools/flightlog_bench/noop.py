"""Tasks whose runs are measured."""

from flytekit import dynamic, task, workflow
from flytekit.core.task import Echo

echo = Echo(name="flightlog_bench.noop.echo", inputs={"a": int})


@task
def noop() -> int:
    return 1


@workflow
def one_task() -> int:
    return noop()


@dynamic
def many(count: int) -> list[int]:
    return [echo(a=number) for number in range(count)]


@workflow
def dynamic_of_100() -> list[int]:
    return many(count=100)
