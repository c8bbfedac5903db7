"""What Grafana writes into queries before it asks them: the time shown, intervals, and variables. Pure.

Macros of its data sources for Postgres and Prometheus, as far as our dashboards use them. What is left over after that
is an error: the query would not be what Grafana asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_LEFT_OVER: Final = re.compile(r"\$(?:__\w+|\{[^}]*\}|[a-z]\w*)")
_TIME_GROUP: Final = re.compile(r"\$__timeGroup(Alias)?\(([^,()]+),\s*\$__interval\)")
_TIME_FILTER: Final = re.compile(r"\$__timeFilter\(([^()]+)\)")


class UnknownMacro(ValueError):
    """A query uses what is not known here."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The time that is shown, in Unix seconds, and how finely."""

    start: float
    end: float
    interval: int
    """Seconds between two points."""
    rate_interval: int
    """Seconds over which a rate is taken: a few scrapes."""


def promql(text: str, shown: Shown) -> str:
    """A query as Prometheus is asked. Raises `UnknownMacro`."""
    seconds = {
        "$__rate_interval": shown.rate_interval,
        "$__interval": shown.interval,
        "$__range": max(1, round(shown.end - shown.start)),
    }
    for macro, value in seconds.items():
        text = text.replace(macro, f"{value}s")
    return _complete(text)


def sql(text: str, shown: Shown, variables: Mapping[str, Sequence[str]]) -> str:
    """A query as Postgres is asked. Raises `UnknownMacro`."""
    for name, values in variables.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        text = text.replace(f"${{{name}:sqlstring}}", quoted)
    start, end = (f"'{datetime.fromtimestamp(at, UTC).isoformat()}'" for at in (shown.start, shown.end))
    text = _TIME_FILTER.sub(rf"\1 BETWEEN {start} AND {end}", text)

    def group(found: re.Match[str]) -> str:
        buckets = f"floor(extract(epoch FROM {found[2]}) / {shown.interval}) * {shown.interval}"
        return f'{buckets} AS "time"' if found[1] else buckets

    return _complete(_TIME_GROUP.sub(group, text))


def _complete(text: str) -> str:
    left = _LEFT_OVER.search(text)
    if left is not None:
        raise UnknownMacro(f"{left[0]} in: {text}")
    return text
