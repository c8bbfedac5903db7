"""Nodes that wait: for a value, for a yes, for a while."""

from datetime import timedelta

from flytekit import approve, conditional, sleep, task, wait_for_input, workflow


@task
def inc(x: int) -> int:
    return x + 1


@workflow
def asked(x: int = 1) -> int:
    return inc(x=wait_for_input("value", timeout=timedelta(minutes=5), expected_type=int))


@workflow
def approved(x: int = 1) -> int:
    return approve(inc(x=x), "ok", timeout=timedelta(minutes=5))


@workflow
def slept() -> int:
    pause = sleep(timedelta(seconds=1.5))
    result = inc(x=1)
    pause >> result
    return result


@workflow
def too_late() -> int:
    return inc(x=wait_for_input("never", timeout=timedelta(seconds=1), expected_type=int))


@workflow
def waiting() -> int:
    return wait_for_input("for-ever", timeout=timedelta(minutes=5), expected_type=int)


@workflow
def asking(x: int) -> int:
    """A gate as part of an arm."""
    answer = wait_for_input("inner", timeout=timedelta(minutes=5), expected_type=int)
    return inc(x=answer)


@workflow
def in_conditional(x: int = 1) -> int:
    return conditional("ask").if_(x > 0).then(asking(x=x)).else_().then(inc(x=x))


@workflow
def asked_later() -> int:
    """A gate behind a gate."""
    go = wait_for_input("go", timeout=timedelta(minutes=5), expected_type=bool)
    answer = wait_for_input("later", timeout=timedelta(minutes=5), expected_type=int)
    go >> answer
    return inc(x=answer)
