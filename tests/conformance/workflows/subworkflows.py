"""Workflows in workflows."""

from flytekit import task, workflow


@task
def inc(x: int) -> int:
    return x + 1


@task
def broken(x: int) -> int:
    raise ValueError("the inner node broke")
    return 0


@task
def clean_up(x: int) -> None:
    print("cleaning up", x)


@workflow
def inner(x: int) -> int:
    return inc(x=inc(x=x))


@workflow
def outer(x: int = 1) -> int:
    return inc(x=inner(x=x))


@workflow(on_failure=clean_up)
def cleaned_inner(x: int) -> int:
    return inc(x=broken(x=x))


@workflow
def cleaned_outer(x: int = 1) -> int:
    return inc(x=cleaned_inner(x=x))


@workflow
def middle(x: int) -> int:
    return inner(x=inner(x=x))


@workflow
def three_deep(x: int = 1) -> int:
    return middle(x=x)
