"""Names of executions that follow from ticks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.schedules.naming import rerun_name, tick_name

DUE = datetime.fromtimestamp(1700000000, UTC)


def plan(text: str) -> Identifier:
    project, domain, name, version = text.split(":")
    return Identifier(resource_type=LAUNCH_PLAN, project=project, domain=domain, name=name, version=version)


@pytest.mark.parametrize(
    ("launch_plan", "due", "name"),
    [
        # Computed with Flyte's own code (admin-contract §5.6, §9.1).
        ("p:d:n:v", 1700000000, "fa1bc03ad9083e1d3000"),
        ("flytesnacks:development:my_lp:v1", 1735689600, "fc82ee6b155898552000"),
    ],
)
def test_a_tick_s_execution_has_flyte_s_name(launch_plan: str, due: int, name: str) -> None:
    assert tick_name(plan(launch_plan), datetime.fromtimestamp(due, UTC)) == name


def test_parts_of_a_second_and_the_kind_of_the_identifier_do_not_count() -> None:
    assert tick_name(plan("p:d:n:v"), DUE + timedelta(microseconds=999)) == tick_name(plan("p:d:n:v"), DUE)
    assert tick_name(Identifier(project="p", domain="d", name="n", version="v"), DUE) == "fa1bc03ad9083e1d3000"


def test_a_backfill_that_overwrites_has_names_of_its_own() -> None:
    names = {
        tick_name(plan("p:d:n:v"), DUE),
        rerun_name(plan("p:d:n:v"), "a", DUE),
        rerun_name(plan("p:d:n:v"), "b", DUE),
        rerun_name(plan("p:e:n:v"), "a", DUE),
        rerun_name(plan("p:d:n:v"), "a", DUE + timedelta(seconds=1)),
    }
    assert len(names) == 5


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 2**33))
def test_any_name_is_one_that_an_execution_may_have(name: str, backfill: str, due: int) -> None:
    launch_plan = Identifier(project="p", domain="d", name=name, version="v")
    moment = datetime.fromtimestamp(due, UTC)
    for made in (tick_name(launch_plan, moment), rerun_name(launch_plan, backfill, moment)):
        assert re.fullmatch(r"[a-z][a-z\-0-9]{19}", made)
