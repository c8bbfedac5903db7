"""What `flightlog why` makes of an explanation."""

from __future__ import annotations

from datetime import UTC, datetime

from flightlog_cli.why import document, lines
from flightlog_protos.history.v1.explanation_pb2 import Explanation

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 5, 1, hour, minute, second, tzinfo=UTC)


def told(explanation: Explanation) -> list[str]:
    return list(lines(explanation, NOON))


def test_tree_of_what_is_behind() -> None:
    tree = Explanation(what="execution", name="p/d/run", phase="RUNNING", since=at(9, 58))
    node = tree.behind.add(what="node", name="n0", why="sleeps", until=at(12, 0, 30))
    node.behind.add(what="attempt", name="0", phase="FAILED", why="USER Boom: no\nway")
    tree.behind.add(what="more", why="and 3 more nodes that wait")
    assert told(tree) == [
        "execution p/d/run RUNNING for 2 h 2 min",
        "├─ node n0, 30 s to go: sleeps",
        "│  └─ attempt 0 FAILED: USER Boom: no ⏎ way",
        "└─ and 3 more nodes that wait",
    ]


def test_causes_name_the_events_that_say_so() -> None:
    cause = Explanation(what="cause", name="EXITED", why="exit code 137, OOMKilled", event_id="0199", since=at(10))
    (line,) = told(cause)
    assert line.startswith("because ")
    assert line.endswith(" EXITED: exit code 137, OOMKilled [event 0199]")
    assert document(cause) == {
        "what": "cause",
        "name": "EXITED",
        "why": "exit code 137, OOMKilled",
        "since": "2026-05-01T10:00:00+00:00",
        "event_id": "0199",
    }


def test_messages_cannot_command_the_terminal() -> None:
    message = "\r\nred: \x1b[31mno\x1b[0m\x07 \x00 end\x9b2J"
    finding = Explanation(what="execution", name="p/d/run", phase="FAILED", why=message)
    assert document(finding)["why"] == message, "programs get what was said"
    (line,) = told(finding)
    assert line.isprintable()
    assert "red: " in line
    assert " end" in line
