"""What a query answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Series:
    """Points in time, in Unix seconds; what is no number is left out."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they are."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


Answer = list[Series] | Table


def has_data(answer: Answer) -> bool:
    """Whether there is anything to show."""
    if isinstance(answer, Table):
        return any(value is not None for row in answer.rows for value in row)
    return any(series.points for series in answer)
