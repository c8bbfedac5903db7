"""How `flightlog schedules` tells what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from flightlog_cli.commands.schedules import some, ticks_table
from flightlog_protos.scheduler.v1.schedule_service_pb2 import Tick

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC).astimezone().replace(hour=12)


def stamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment.astimezone(UTC))
    return message


def test_a_tick_that_was_caught_up_on_another_day_says_on_which() -> None:
    ticks = [
        Tick(due=stamp(NOON), fired_at=stamp(NOON + late), execution=name)
        for late, name in ((timedelta(seconds=1), "soon"), (timedelta(days=2, seconds=1), "late"))
    ]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(ticks_table(ticks))
    _, soon, late = capture.get().splitlines()
    assert soon.split() == ["2026-03-10", "12:00:00", "12:00:01", "soon"]
    assert late.split() == ["2026-03-10", "12:00:00", "2026-03-12", "12:00:01", "late"]


def test_of_many_runs_the_first_are_named() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some([str(number) for number in range(1000)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more"
