"""`flightlog audit`: how times are written, and how entries are shown."""

from __future__ import annotations

import time

import pytest
from rich.console import Console

from flightlog_cli.commands.audit import moment, table_of
from flightlog_cli.embedded.child import StackError
from flightlog_protos.history.v1.audit_pb2 import AuditEntry, ListAuditResponse


def test_times_are_moments_or_so_long_ago() -> None:
    assert moment("") is None
    exact = moment("2026-01-31T12:00:00Z")
    assert exact is not None
    assert exact.ToJsonString() == "2026-01-31T12:00:00Z"
    before = int(time.time())
    ago = moment("2h")
    assert ago is not None
    assert before - 7200 <= ago.seconds <= int(time.time()) - 7200


@pytest.mark.parametrize("text", ["yesterday", "42", "2 weeks", "999999d"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(StackError):
        moment(text)


def test_what_others_wrote_does_not_command_the_terminal() -> None:
    entry = AuditEntry(
        action="AdminService/CreateExecution", code="INVALID_ARGUMENT", name="f\x1b[2J", message="in\x1b]0;it\x07\nvain"
    )
    entry.actor.client = "agent/1"
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table_of(ListAuditResponse(entries=[entry])))
    assert not {"\x1b", "\x07"} & set(shown.get())
    assert "vain" in shown.get()
