"""The golden histories: what the conformance suite's executions decided, to be decided again."""

from __future__ import annotations

from pathlib import Path

from services.execution.history.replay.encoding import from_bytes, to_bytes
from services.execution.history.replay.steps import History

HISTORIES = Path(__file__).parent / "histories"


def write(history: History, path: Path) -> None:
    """Equal histories make equal files."""
    path.write_bytes(to_bytes(history))


def read(path: Path) -> History:
    return from_bytes(path.read_bytes())
