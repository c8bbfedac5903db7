"""Asks Prometheus and Postgres what panels ask, and gives what Grafana would draw."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import asyncpg

from flightlog_dashboards.answers import Answer, Series, Table
from flightlog_dashboards.boards import Board, Panel, Query
from flightlog_dashboards.macros import Shown, promql, sql

_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_TIMEOUT_SECONDS: Final = 30


class QueryFailed(Exception):
    """A data source refused a query."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus by its address."""

    url: str

    async def ask(self, query: Query, shown: Shown) -> Answer:
        """Raises `QueryFailed`."""
        expression = promql(query.text, shown)
        if query.instant:
            found = await self.get("query", query=expression, time=shown.end)
            if query.table:
                return _table(found)
            return [_series(query, one["metric"], [one["value"]]) for one in found["result"]]
        found = await self.get("query_range", query=expression, start=shown.start, end=shown.end, step=shown.interval)
        return [_series(query, one["metric"], one["values"]) for one in found["result"]]

    async def get(self, call: str, **parameters: object) -> Any:
        """What a call of its HTTP API answers as data. Raises `QueryFailed`, and OSError when it is away."""

        def get() -> Any:
            try:
                with urlopen(f"{self.url}/api/v1/{call}?{urlencode(parameters)}", timeout=_TIMEOUT_SECONDS) as answer:
                    return json.load(answer)["data"]
            except HTTPError as error:
                raise QueryFailed(f"{parameters.get('query', call)}: {error.read().decode()}") from None

        return await asyncio.to_thread(get)


@dataclass(slots=True)
class Sources:
    """Both data sources of a dashboard, and what its variables stand for there."""

    prometheus: Prometheus
    database: asyncpg.Connection
    _variables: dict[str, Mapping[str, Sequence[str]]] = field(default_factory=dict[str, Mapping[str, Sequence[str]]])

    async def ask(self, board: Board, panel: Panel, shown: Shown) -> list[Answer]:
        """The answers to a panel's queries, in their order. Raises `QueryFailed`, `UnknownMacro`."""
        return [
            await self._rows(query, shown, await self.variables(board, shown))
            if query.sql
            else await self.prometheus.ask(query, shown)
            for query in panel.queries
        ]

    async def variables(self, board: Board, shown: Shown) -> Mapping[str, Sequence[str]]:
        """The values of a dashboard's variables, all of them chosen."""
        if board.name not in self._variables:
            found: dict[str, Sequence[str]] = {}
            for name, text in board.variables.items():
                found[name] = [str(row[0]) for row in await self._fetch(sql(text, shown, found))]
            self._variables[board.name] = found
        return self._variables[board.name]

    async def _rows(self, query: Query, shown: Shown, variables: Mapping[str, Sequence[str]]) -> Answer:
        rows = await self._fetch(sql(query.text, shown, variables))
        columns = list(rows[0].keys()) if rows else []
        return Table(columns, [list(row.values()) for row in rows]) if query.table else _in_time(rows)

    async def _fetch(self, text: str) -> list[asyncpg.Record]:
        try:
            return await self.database.fetch(text)
        except asyncpg.PostgresError as error:
            raise QueryFailed(f"{text}: {error}") from None


def _series(query: Query, labels: Mapping[str, str], values: Sequence[tuple[float, str]]) -> Series:
    name = _LABEL.sub(lambda found: labels.get(found[1], ""), query.legend) if query.legend else _all(labels)
    points = [(float(at), float(value)) for at, value in values]
    return Series(name, [point for point in points if math.isfinite(point[1])])


def _all(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "__name__") or "value"


def _table(found: Any) -> Table:
    names = sorted({name for one in found["result"] for name in one["metric"]})
    rows = [[*(one["metric"].get(name, "") for name in names), float(one["value"][1])] for one in found["result"]]
    return Table([*names, "value"], [row for row in rows if math.isfinite(row[-1])])


def _in_time(rows: Sequence[asyncpg.Record]) -> list[Series]:
    """The column `time` says when, `metric` which series; every other one is a series by its name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        at = row["time"].timestamp() if isinstance(row["time"], datetime) else float(row["time"])
        metric = row.get("metric")
        for column, value in row.items():
            if column in ("time", "metric") or value is None:
                continue
            name = str(metric) if metric is not None else column
            found.setdefault(name, []).append((at, float(value)))
    return [Series(name, points) for name, points in found.items()]
