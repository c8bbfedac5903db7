"""What stands in a gap while a log is restored is made as it is needed: a gap can be longer than memory is large."""

from __future__ import annotations

from itertools import islice

from flightlog_log import Raw
from flightlog_log.restoring import _filled, is_placeholder


def test_a_gap_is_filled_one_after_another() -> None:
    message = Raw("execution.1.p.d.a", 3, b"x", {})
    filled = list(islice(_filled("EXECUTION", [message], 0, 10**12), 5))
    assert [one.sequence for one in filled] == [1, 2, 3, 4, 5]
    assert [is_placeholder(one) for one in filled] == [True, True, False, True, True]
