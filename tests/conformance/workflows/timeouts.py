"""Tasks that take too long."""

import time
from datetime import timedelta

from flytekit import task, workflow


@task(timeout=timedelta(seconds=1))
def endless() -> int:
    time.sleep(300)
    return 1


@workflow
def one_attempt() -> int:
    return endless()


@task(timeout=timedelta(seconds=2), retries=5)
def endless_again() -> int:
    time.sleep(300)
    return 1


@workflow
def many_attempts() -> int:
    return endless_again()


@task
def slow() -> int:
    time.sleep(300)
    return 1


@workflow
def overridden() -> int:
    return slow().with_overrides(timeout=timedelta(seconds=1))
