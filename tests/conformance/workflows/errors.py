"""How tasks fail, and what is tried again."""

import os
import signal
import time

from flytekit import task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task(retries=2)
def raises() -> int:
    raise ValueError("no use to try again")
    return 0


@workflow
def user_error() -> int:
    return raises()


@task(retries=2)
def always_recoverable() -> int:
    raise FlyteRecoverableException("try again")
    return 0


@workflow
def exhausted() -> int:
    return always_recoverable()


@task(retries=1)
def second_time_lucky() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt == 0:
        raise FlyteRecoverableException("not yet")
    return attempt


@workflow
def lucky() -> int:
    return second_time_lucky()


@task
def exits() -> int:
    os._exit(1)
    return 0


@workflow
def crashing() -> int:
    return exits()


@task
def killed_once() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt == 0:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(30)
    return attempt


@workflow
def interrupted() -> int:
    return killed_once()


@task
def silent() -> int:
    """Ends well, as far as its exit code goes."""
    os._exit(0)
    return 0


@workflow
def without_outputs() -> int:
    return silent()


@task
def bulky() -> str:
    return "x" * (3 * 1024 * 1024)


@task
def halves() -> tuple[str, str]:
    """Too large together; none is large enough to be offloaded where literals of 2 MiB are."""
    return "x" * (3 * 512 * 1024), "y" * (3 * 512 * 1024)


@task
def length(text: str) -> int:
    return len(text)


@workflow
def large() -> int:
    return length(text=bulky())


@workflow
def too_large() -> int:
    text, _ = halves()
    return length(text=text)


@task
def talkative() -> int:
    raise ValueError("the beginning " + "blah " * 200_000 + " the end")
    return 0


@workflow
def long_message() -> int:
    return talkative()


@task(interruptible=True)
def dies_three_times() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt < 3:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(30)
    return attempt


@workflow
def on_demand_at_last() -> int:
    return dies_three_times()


@task(retries=1)
def overridden() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt < 3:
        raise FlyteRecoverableException("not yet")
    return attempt


@workflow
def more_retries() -> int:
    """The node's own budget goes before the task's."""
    return overridden().with_overrides(retries=3)


@task(retries=1, annotations={"flightlog/retry-backoff": "2s"})
def patient() -> int:
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise FlyteRecoverableException("not yet")
    return 1


@workflow
def patient_retry() -> int:
    return patient()
