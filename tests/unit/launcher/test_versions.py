"""Versions of observations grow over restarts, and fit into the fields that clients and tables have for them."""

from __future__ import annotations

from flightlog_protos.execution.v1.facts_pb2 import AttemptProgressed
from services.k8s_launcher.history import version_after


def test_versions_grow_with_the_log() -> None:
    assert [version_after(count) for count in (0, 1, 7_000_000)] == [0, 1, 7_000_000]


def test_versions_fit_however_long_the_log_is() -> None:
    counted = version_after(2**40) + 1_000_000
    assert counted < 2**31, "the tables' numbers have a sign"
    assert AttemptProgressed(phase_version=counted).phase_version == counted
