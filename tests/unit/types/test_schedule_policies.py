"""What launch plans ask for about their schedules."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.scheduler.v1.schedules_pb2 import CatchUp, Overlap, SchedulePolicy
from flightlog_types.schedule_policies import (
    CATCH_UP,
    JITTER,
    OVERLAP,
    TIME_ZONE,
    BadPolicy,
    is_time_zone,
    schedule_policy,
)

DEFAULT = SchedulePolicy(catch_up=CatchUp.CATCH_UP_ALL, overlap=Overlap.OVERLAP_ALLOW, time_zone="UTC")


def test_without_annotations_the_default_holds() -> None:
    assert schedule_policy({"somebody.else/overlap": "skip"}, DEFAULT) == DEFAULT


@pytest.mark.parametrize(
    ("text", "expected"),
    [("all", CatchUp.CATCH_UP_ALL), ("latest", CatchUp.CATCH_UP_LATEST), ("none", CatchUp.CATCH_UP_NONE)],
)
def test_catch_up(text: str, expected: CatchUp) -> None:
    assert schedule_policy({CATCH_UP: text}, DEFAULT).catch_up == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("allow", Overlap.OVERLAP_ALLOW),
        ("skip", Overlap.OVERLAP_SKIP),
        ("wait", Overlap.OVERLAP_WAIT),
        ("replace", Overlap.OVERLAP_REPLACE),
    ],
)
def test_overlap(text: str, expected: Overlap) -> None:
    policy = schedule_policy({OVERLAP: text}, DEFAULT)
    assert (policy.overlap, policy.catch_up) == (expected, CatchUp.CATCH_UP_ALL)


def test_jitter_and_time_zone() -> None:
    policy = schedule_policy({JITTER: "1m30s", TIME_ZONE: "America/New_York"}, DEFAULT)
    assert policy.jitter.ToTimedelta() == timedelta(seconds=90)
    assert policy.time_zone == "America/New_York"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (CATCH_UP, "ALL"),
        (CATCH_UP, ""),
        (OVERLAP, "cancel"),
        (JITTER, "25h"),
        (JITTER, "soon"),
        (JITTER, "-5s"),
        (TIME_ZONE, "Mars/Olympus"),
        (TIME_ZONE, "../../etc/passwd"),
        (TIME_ZONE, ""),
    ],
)
def test_what_cannot_be_is_refused_by_name(annotation: str, text: str) -> None:
    with pytest.raises(BadPolicy, match=annotation) as raised:
        schedule_policy({annotation: text}, DEFAULT)
    assert raised.value.annotation == annotation


@given(annotation=st.sampled_from([CATCH_UP, OVERLAP, JITTER, TIME_ZONE]), text=st.text(max_size=40))
def test_any_text_is_taken_or_refused(annotation: str, text: str) -> None:
    with contextlib.suppress(BadPolicy):
        policy = schedule_policy({annotation: text}, DEFAULT)
        assert policy.jitter.ToTimedelta() <= timedelta(days=1)
        assert is_time_zone(policy.time_zone)
