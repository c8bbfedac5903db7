"""How long a project keeps its executions, by its label."""

from datetime import timedelta

import pytest

from flightlog_types import InvalidArgument
from flightlog_types.retention import RETENTION_LABEL, retention_of

DEFAULT = timedelta(days=90)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("5m", timedelta(minutes=5)),
        ("1s", timedelta(seconds=1)),
        ("forever", None),
    ],
)
def test_the_label_goes_before_the_default(text: str, expected: timedelta | None) -> None:
    assert retention_of({RETENTION_LABEL: text, "team": "a"}, DEFAULT) == expected


@pytest.mark.parametrize("default", [DEFAULT, None])
def test_without_the_label_the_default_holds(default: timedelta | None) -> None:
    assert retention_of({"team": "a"}, default) == default


@pytest.mark.parametrize("text", ["", "0d", "-1d", "30", "d", "30 d", "1.5d", "30w", "1000000d", "Forever", "030d"])
def test_a_label_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"flightlog\.retention"):
        retention_of({RETENTION_LABEL: text}, DEFAULT)
