"""Selections of entries as SQL: every part that is set narrows them, and a list goes on where it ended."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.catalog.v1.catalog_service_pb2 import CacheSelection
from flightlog_read import InvalidQuery
from services.catalog.looking import selection

TEXTS = (
    "project",
    "domain",
    "name",
    "cache_version",
    "task_version",
    "execution",
    "tag",
    "artifact_id",
    "dataset_version",
)


def selected(texts: dict[str, str]) -> CacheSelection:
    found = CacheSelection()
    for name, value in texts.items():
        setattr(found, name, value)
    return found


@given(
    st.dictionaries(
        st.sampled_from(TEXTS),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1),
        min_size=1,
    )
)
def test_every_text_narrows_by_its_own_value(texts: dict[str, str]) -> None:
    found = selection.where(selected(texts))
    assert sorted(found.args, key=str) == sorted(texts.values())
    numbers = [int(number) for number in re.findall(r"\$(\d+)", found.clause)]
    assert numbers == list(range(1, len(texts) + 1))


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_nothing_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidQuery, match=name):
        selection.where(selected({name: "a\0b"}))


def test_an_execution_may_be_named_in_full() -> None:
    found = selection.where(CacheSelection(execution="p/d/x"))
    assert found.args == ("x", "p", "d")
    with pytest.raises(InvalidQuery, match="project/domain/name"):
        selection.where(CacheSelection(execution="p/x"))


def test_a_selection_is_empty_only_without_any_part() -> None:
    assert selection.is_empty(CacheSelection())
    assert not selection.is_empty(CacheSelection(pinned=False))
    assert not selection.is_empty(CacheSelection(before=Timestamp()))
    assert not selection.is_empty(CacheSelection(artifact_ids=[""]))


def test_moments_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidQuery, match="before"):
        selection.where(CacheSelection(before=Timestamp(seconds=2**62)))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)), st.integers(0, 2**59))
def test_a_token_leads_behind_its_row(moment: datetime, row: int) -> None:
    assert selection.behind(selection.token(moment, row)).args == (moment, row)


@pytest.mark.parametrize("token", ["x", "1", "1-", "-1-1", "1-1 ", "999999999999999999-1", "١-1"])
def test_other_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidQuery, match="token"):
        selection.behind(token)


@pytest.mark.parametrize(("limit", "size"), [(0, 100), (1, 1), (1000, 1000), (10**6, 1000)])
def test_an_answer_has_so_many_entries_at_most(limit: int, size: int) -> None:
    assert selection.page_size(limit, selection.LISTED) == size
