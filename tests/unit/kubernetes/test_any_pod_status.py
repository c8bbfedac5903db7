"""Whatever a kubelet says of a pod, it has a meaning, and one that the log can hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flyteidl.core.execution_pb2 import ExecutionError
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.attempts import Attempt
from services.k8s_launcher.kubernetes.dispatch import plugin
from services.k8s_launcher.kubernetes.objects import Reading
from services.k8s_launcher.orders import Order
from services.k8s_launcher.runtime import AttemptKey
from tests.unit.kubernetes.pod_statuses import NOW, ago, pod, read

_TEXTS = st.text(max_size=20)
_WORDS = st.sampled_from(
    [
        *("", "ErrImagePull", "ImagePullBackOff", "CreateContainerError", "CreateContainerConfigError"),
        *("InvalidImageName", "PodInitializing", "CrashLoopBackOff", "ContainersNotReady"),
        *("OOMKilled", "Error", "StartError", "Completed"),
    ]
)
# What never happened is written as a zero, of Unix or of Go.
_TIMES = st.sampled_from([None, "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", ago(hours=1), ago(minutes=1), ago()])
_LATER = st.timedeltas(timedelta(), timedelta(days=400))


def _some(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Fields that may be there."""
    return st.fixed_dictionaries({}, optional=fields)


_ENDED = _some(
    exitCode=st.sampled_from([0, 1, 137, 247, 255]), reason=_WORDS, message=_TEXTS, startedAt=_TIMES, finishedAt=_TIMES
)
_STATES = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"waiting": _some(reason=_WORDS, message=_TEXTS)}),
    st.fixed_dictionaries({"running": _some(startedAt=_TIMES)}),
    st.fixed_dictionaries({"terminated": _ENDED}),
)
_CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["main", "side"]), "state": _STATES},
        optional={"lastState": st.one_of(st.none(), _STATES), "ready": st.booleans(), "containerID": _TEXTS},
    ),
    max_size=3,
)
_CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["PodScheduled", "Ready", "Unschedulable", "Initialized", "DisruptionTarget"]),
            "status": st.sampled_from(["True", "False", "Unknown"]),
        },
        optional={"reason": _WORDS, "message": _TEXTS, "lastTransitionTime": _TIMES},
    ),
    max_size=3,
)
_STATUSES = _some(
    phase=st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    conditions=st.one_of(st.none(), _CONDITIONS),
    initContainerStatuses=_CONTAINERS,
    containerStatuses=_CONTAINERS,
    ephemeralContainerStatuses=_CONTAINERS,
    reason=st.sampled_from(["", "Evicted", "NodeShutdown", "OutOfcpu"]),
    message=_TEXTS,
)
_SETTINGS = _some(
    logs=st.just({"kubernetes_enabled": True}),
    status=_some(
        pod_pending_timeout=st.just(300), plain_exit_is_user_error=st.booleans(), node_failures_are_system=st.booleans()
    ),
)


async def _observed(reading: Reading) -> AttemptObserved:
    key = AttemptKey("p", "d", "e", "n0", 0)
    attempt = Attempt(Order(key, None), plugin("python-task"), "p-d", "name", version=7, last=None)
    observed = attempt.next(reading)
    assert observed is not None
    return AttemptObserved.FromString(observed.SerializeToString())


@given(_STATUSES, st.sampled_from([None, "main", "nobody"]), _SETTINGS, _LATER)
async def test_every_status_has_a_meaning(
    state: dict[str, Any], primary: str | None, settings: dict[str, Any], later: timedelta
) -> None:
    reading = read(pod(state, primary=primary, containers=("main", "side")), later=later, **settings)
    observed = await _observed(reading)
    assert observed.occurred_at.ToDatetime(UTC) > datetime(2020, 1, 1, tzinfo=UTC), "what never happened has no time"
    assert observed.usage.wall_time.ToTimedelta() <= timedelta(hours=1)
    if reading.stage == AttemptObserved.FAILED:
        assert observed.error.code
        assert observed.error.kind in (ExecutionError.USER, ExecutionError.SYSTEM)
    if reading.again_at is not None:
        assert reading.again_at > NOW + later, "it is of no use to look at once again"


@given(_STATUSES, st.sampled_from([None, "main"]), _SETTINGS, _LATER)
async def test_time_alone_does_not_undo_an_end(
    state: dict[str, Any], primary: str | None, settings: dict[str, Any], later: timedelta
) -> None:
    thing = pod(state, primary=primary, containers=("main", "side"))
    before, after = read(thing, **settings), read(thing, later=later, **settings)
    if before.stage in (AttemptObserved.FAILED, AttemptObserved.EXITED):
        assert after.stage == before.stage
        assert after.error == before.error
