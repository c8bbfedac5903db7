"""Launch plans of which only so many executions may run at once."""

from datetime import timedelta

from flytekit import Annotations, LaunchPlan, task, wait_for_input, workflow
from flytekit.models.concurrency import ConcurrencyLimitBehavior, ConcurrencyPolicy


@workflow
def held() -> int:
    """Runs until the signal `go` is set."""
    return wait_for_input("go", timeout=timedelta(hours=1), expected_type=int)


@task
def doubled(x: int) -> int:
    return 2 * x


@workflow
def brief(x: int) -> int:
    return doubled(x=x)


def said(**what: str) -> Annotations:
    return Annotations({f"flightlog.concurrency/{name.replace('_', '-')}": text for name, text in what.items()})


skipping = LaunchPlan.get_or_create(
    held,
    "limits.skipping",
    concurrency=ConcurrencyPolicy(max_concurrency=3, behavior=ConcurrencyLimitBehavior.SKIP),
)
waiting = LaunchPlan.get_or_create(brief, "limits.waiting", annotations=said(max="2", behavior="wait"))
first_of_key = LaunchPlan.get_or_create(held, "limits.first_of_key", annotations=said(key="licence", key_max="1"))
second_of_key = LaunchPlan.get_or_create(held, "limits.second_of_key", annotations=said(key="licence", key_max="1"))
replacing = LaunchPlan.get_or_create(held, "limits.replacing", annotations=said(max="1", behavior="replace"))
