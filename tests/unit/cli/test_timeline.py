"""Bars of nodes and attempts, drawn from an execution's facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flyteidl.core.execution_pb2 import TaskExecution
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.timeline import LEGEND, MOST_NODES, OPEN, RUNS, STARTS, WAITS, Timeline
from flightlog_log import Head, Recorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import Envelope

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float, *said: Message) -> Recorded:
    occurred = Timestamp()
    occurred.FromDatetime(BEGUN + timedelta(seconds=seconds))
    return Recorded("execution", 1, Envelope(occurred_at=occurred), said, Head.EMPTY)


def drawn(*records: Recorded, width: int = 80) -> list[str]:
    timeline = Timeline()
    for record in records:
        timeline.take(record)
    return list(timeline.lines(width))


def bar(lines: list[str], name: str) -> str:
    (found,) = [line for line in lines if line.strip().startswith(name)]
    return found


def attempt(number: int, begin: float, runs: float, end: Message, over: float) -> list[Recorded]:
    running = TaskExecution.RUNNING
    return [
        at(begin, facts.AttemptScheduled(node_id="n0", attempt=number)),
        at(runs, facts.AttemptProgressed(node_id="n0", attempt=number, phase=running)),
        at(over, end),
    ]


RUN = [
    at(0, facts.ExecutionCreated()),
    at(0, facts.ExecutionStarted(), facts.NodeQueued(node_id="n0", name="square")),
    *attempt(0, 2, 4, facts.AttemptFailed(node_id="n0", attempt=0), 6),
    *attempt(1, 8, 9, facts.AttemptSucceeded(node_id="n0", attempt=1), 10),
    at(10, facts.NodeSucceeded(node_id="n0"), facts.ExecutionSucceeded()),
]


def test_each_part_of_a_bar_is_as_long_as_it_took() -> None:
    lines = drawn(*RUN, width=12 + 28 + 50)
    line = bar(lines, "n0 square")
    counts = [line.count(what) for what in (WAITS, STARTS, RUNS)]
    cells = sum(counts)
    assert [round(10 * count / cells) for count in counts] == [4, 3, 3]
    assert line.index(WAITS) < line.index(STARTS) < line.index(RUNS)
    assert line.endswith("10.00 s  succeeded")
    assert lines[-1] == LEGEND
    assert "10.00 s" in lines[0]


def test_attempts_have_rows_of_their_own_when_there_are_several() -> None:
    lines = drawn(*RUN)
    first, second = bar(lines, "try 1"), bar(lines, "try 2")
    assert first.endswith("4.00 s  failed")
    assert second.endswith("2.00 s  succeeded")
    assert second.index(STARTS) > max(where for where, what in enumerate(first) if what == RUNS)
    single = drawn(*RUN[:2], *attempt(0, 2, 4, facts.AttemptSucceeded(node_id="n0"), 6))
    assert not [line for line in single if "try" in line]


def test_what_lies_in_a_node_is_below_it() -> None:
    lines = drawn(
        at(0, facts.ExecutionStarted(), facts.NodeQueued(node_id="n0"), facts.NodeQueued(node_id="n1")),
        at(1, facts.NodeStarted(node_id="n0"), facts.NodeQueued(node_id="n0-n0", parent_node_id="n0")),
        at(2, facts.NodeSucceeded(node_id="n0-n0"), facts.NodeFailed(node_id="n0")),
    )
    names = [line[: line.index("  ", 4)] for line in lines[2:5]]
    assert names == ["  n0", "    n0-n0", "  n1"]
    assert OPEN in lines[2]
    assert lines[2].endswith("failed")
    assert lines[4].endswith("goes on")


def test_what_took_no_time_is_seen() -> None:
    lines = drawn(
        at(0, facts.NodeQueued(node_id="n0")), at(0, facts.NodeSucceeded(node_id="n0")), at(9, facts.ExecutionFailed())
    )
    assert bar(lines, "n0").count(WAITS) == 1


def test_of_very_many_nodes_the_first_are_drawn() -> None:
    queued = [facts.NodeQueued(node_id=f"n{number}") for number in range(MOST_NODES + 5)]
    lines = drawn(at(0, *queued), at(1, facts.ExecutionAborted()))
    assert "… and 5 more nodes" in lines
    assert len(lines) < MOST_NODES + 5


def test_nothing_happened_is_no_picture() -> None:
    assert drawn() == []
