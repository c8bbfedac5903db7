"""What ExplainWaiting answers, as a tree of text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.history.v1.explanation_pb2 import Explanation

# What is a sentence by itself.
_SAID: Final = frozenset({"reason", "log", "more"})


def document(explanation: Explanation) -> dict[str, Any]:
    """As JSON: what is empty is left out."""
    times = {
        name: _time(getattr(explanation, name)).isoformat()
        for name in ("since", "until")
        if explanation.HasField(name)  # pyright: ignore[reportArgumentType] - names of its fields
    }
    told: dict[str, Any] = {
        "what": explanation.what,
        "name": explanation.name,
        "phase": explanation.phase,
        "why": explanation.why,
        **times,
        "event_id": explanation.event_id,
        "behind": [document(behind) for behind in explanation.behind],
    }
    return {name: value for name, value in told.items() if value}


def lines(explanation: Explanation, now: datetime) -> Iterator[str]:
    """As a tree of text."""
    yield _line(explanation, now)
    last = len(explanation.behind) - 1
    for place, behind in enumerate(explanation.behind):
        first, rest = ("└─ ", "   ") if place == last else ("├─ ", "│  ")
        for number, line in enumerate(lines(behind, now)):
            yield (rest if number else first) + line


def _line(explanation: Explanation, now: datetime) -> str:
    why = one_line(explanation.why)
    since = _time(explanation.since) if explanation.HasField("since") else None
    if explanation.what in _SAID:
        at = f"{since.astimezone():%H:%M:%S} " if since is not None else ""
        return at + why
    if explanation.what == "cause":
        at = f" {since.astimezone():%H:%M:%S}" if since is not None else ""
        said = f": {why}" if why else ""
        return f"because{at} {explanation.name}{said} [event {explanation.event_id}]"
    subject = " ".join(part for part in (explanation.what, explanation.name, explanation.phase) if part)
    if since is not None:
        subject += f" for {_length(now, since)}"
    until = _time(explanation.until) if explanation.HasField("until") else None
    if until is not None and until > now:
        subject += f", {_length(until, now)} to go"
    return f"{subject}: {why}" if why else subject


def one_line(text: str) -> str:
    """Messages have lines of their own, which would break the tree, and what commands a terminal."""
    return printable(" ⏎ ".join(line for line in (part.strip() for part in text.splitlines()) if line))


def printable(text: str) -> str:
    """Without what commands a terminal: users' words are shown, not obeyed."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _time(at: Timestamp) -> datetime:
    return at.ToDatetime(UTC)


def _length(later: datetime, earlier: datetime) -> str:
    seconds = max(0, int((later - earlier).total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
