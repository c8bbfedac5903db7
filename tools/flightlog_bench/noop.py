"""The task whose start is measured."""

from flytekit import task, workflow


@task
def noop() -> int:
    return 1


@workflow
def one_task() -> int:
    return noop()
