"""Whatever an operator writes into a status, its plugin says what it means: fields may be missing, null or new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import Object, Seen
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from services.k8s_launcher.kubernetes.slimming import slim
from tests.unit.kubernetes.plugins import serialised

LIVE = {AttemptObserved.QUEUED, AttemptObserved.INITIALIZING, AttemptObserved.RUNNING}
TIMES = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1)).map(lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}")
TEXTS = st.none() | st.text(max_size=8)
STATES: dict[str, tuple[str, str, list[str]]] = {
    "ray": (
        "ray_plain",
        "jobDeploymentStatus",
        [
            "Initializing",
            "Running",
            "Complete",
            "Failed",
            "ValidationFailed",
            "Suspending",
            "Suspended",
            "Retrying",
            "Waiting",
            "New",
        ],
    ),
    "dask": ("dask_plain", "jobStatus", ["JobCreated", "ClusterCreated", "Running", "Successful", "Failed", "Other"]),
}
_MAKERS = {each.task_types[0]: each.plugin for each in OPERATORS}


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


CONDITIONS = st.lists(
    _optional(
        type=st.sampled_from(["Created", "Running", "Restarting", "Suspended", "Succeeded", "Failed", "New"]),
        status=st.sampled_from(["True", "False", "Unknown"]),
        lastTransitionTime=TIMES,
        reason=TEXTS,
        message=TEXTS,
    ).map(lambda condition: {"type": "Created", "status": "True", **condition}),
    max_size=4,
)
TRAINING = _optional(
    conditions=st.none() | CONDITIONS, startTime=TIMES, lastReconcileTime=TIMES, replicaStatuses=st.none() | st.just({})
)
COMMON = {
    "reason": TEXTS,
    "message": TEXTS,
    "startTime": TIMES,
    "endTime": TIMES,
    "jobId": TEXTS,
    "jobStatus": TEXTS,
    "rayClusterName": TEXTS,
    "dashboardURL": TEXTS,
    "jobRunnerPodName": TEXTS,
}
SPARK = _optional(
    applicationState=st.none()
    | _optional(
        state=st.none()
        | st.sampled_from(["", "SUBMITTED", "RUNNING", "FAILED", "COMPLETED", "SUBMISSION_FAILED", "NEW"]),
        errorMessage=TEXTS,
    ),
    driverInfo=st.none() | _optional(podName=TEXTS, webUIIngressAddress=TEXTS),
    terminationTime=TIMES,
    lastSubmissionAttemptTime=TIMES,
    sparkApplicationId=TEXTS,
)
STATUSES = {
    "pytorch": ("pytorch_plain", TRAINING),
    "tensorflow": ("tensorflow_groups", TRAINING),
    "mpi": ("mpi_groups", TRAINING),
    "spark": ("spark_groups", SPARK),
    **{
        kind: (name, _optional(**{**COMMON, field: st.none() | st.sampled_from(values)}))
        for kind, (name, field, values) in STATES.items()
    },
}
LINKS = {
    "logs": {"kubernetes_enabled": True},
    "operators": {
        "ray": {"dashboard_link": {"display_name": "D", "template_uris": ["http://d/{{ .rayJobID }}"]}},
        "spark": {"history_server_url": "http://h", "logs": {"mixed": {"kubernetes_enabled": True}}},
    },
}


def _object(kind: str) -> tuple[Object, Any]:
    task = serialised.attempt(STATUSES[kind][0], serialised.settings(**LINKS))
    made = _MAKERS[kind].build(task).manifest
    made["metadata"]["creationTimestamp"] = "2026-01-01T12:00:00Z"
    return made, task


OBJECTS = {kind: _object(kind) for kind in STATUSES}


@pytest.mark.parametrize("kind", STATUSES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_status_has_a_meaning(kind: str, data: st.DataObject) -> None:
    status = data.draw(st.none() | STATUSES[kind][1])
    made, task = OBJECTS[kind]
    now = datetime(2026, 1, 1, 12, tzinfo=UTC) + data.draw(st.sampled_from([timedelta(), timedelta(hours=1)]))
    for whole in (True, False):
        seen = {**made, "status": status}
        found = _MAKERS[kind].read(Seen(seen if whole else slim(seen), now, task.scheduled, task.settings))
        if found.stage == AttemptObserved.FAILED:
            assert found.error is not None
            assert found.error.code
            assert "None" not in found.error.message
        elif found.stage == AttemptObserved.EXITED:
            assert found.exit is not None
        else:
            assert found.stage in LIVE
        assert found.again_at is None or found.again_at > now
        assert "None" not in found.reason
        assert all("None" not in link.uri for link in found.logs)
        assert found.custom_info is None or all(isinstance(name, str) for name in found.custom_info)


@pytest.mark.parametrize("name", serialised.NAMES)
def test_object_is_the_same_however_often_it_is_built(name: str) -> None:
    task = serialised.attempt(name)
    template = task.template.SerializeToString(deterministic=True)
    plugin = serialised.plugin_of(task.template.type)
    assert plugin.build(task) == plugin.build(task)
    assert task.template.SerializeToString(deterministic=True) == template
