"""The lists as they were at a sequence of the stream.

Versions never change: those that are there now and were registered by then were there. Of what has changed since, the
envelopes up to then are read again, and say of the rows what they said when the tables were made of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from flyteidl.admin.common_pb2 import NamedEntityIdentifier

from flightlog_log import Log, Subject
from flightlog_read import SqlWhere
from services.registry import subjects
from services.registry.projection.apply import Row, rows_of
from services.registry.projection.ddl import COLUMNS
from services.registry.projection.queries import SCHEMA, TABLE, Queries

Values = dict[str, Any]
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Changing:
    """A table whose rows change.

    Attributes:
        subject: where on the log the changes of a row are.
        statement: name of the statement that writes them (`apply.rows_of`).
        key: the columns that say which row is meant.
        columns: what the statement's arguments are.
        made: how a row was made, where that is not on this subject.
    """

    subject: Callable[[Values], Subject]
    statement: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    made: Callable[[Values], Values]


def _activation(row: Values) -> Subject:
    return subjects.activation(NamedEntityIdentifier(project=row["project"], domain=row["domain"], name=row["name"]))


def _named_entity(row: Values) -> Subject:
    name = NamedEntityIdentifier(project=row["project"], domain=row["domain"], name=row["name"])
    return subjects.named_entity(row["resource_type"], name)


_CHANGING: Mapping[str, _Changing] = {
    "launch_plans": _Changing(
        _activation,
        "states",
        ("project", "domain", "name", "version"),
        ("sequence", "state", "updated_at", "project", "domain", "name", "version"),
        lambda row: {"sequence": row["id"], "state": 0, "updated_at": row["created_at"]},
    ),
    "named_entities": _Changing(
        _named_entity,
        "metadata",
        ("resource_type", "project", "domain", "name"),
        ("sequence", "description", "state", "resource_type", "project", "domain", "name"),
        lambda row: {"sequence": row["id"], "description": "", "state": 0},
    ),
    "projects": _Changing(
        lambda row: subjects.project(row["identifier"]),
        "projects",
        ("identifier",),
        ("sequence", "identifier", "name", "description", "labels", "state", "updated_at", "message"),
        lambda row: {},
    ),
    "attributes": _Changing(
        lambda row: subjects.project(row["project"]),
        "attributes",
        ("resource_type", "project", "domain", "workflow"),
        ("sequence", "resource_type", "project", "domain", "workflow", "priority", "message"),
        lambda row: {},
    ),
}


class PastQueries(Queries):
    """Reads the registry's tables as they were at a sequence that they have reached."""

    def __init__(self, now: Queries, log: Log, sequence: int) -> None:
        super().__init__(now.database)
        self._log = log
        self._sequence = sequence

    async def _ask(
        self, table: str, statement: str, arguments: Sequence[Any], place: SqlWhere
    ) -> Sequence[asyncpg.Record]:
        first = len(arguments) + 1
        there = f"SELECT {', '.join(COLUMNS[table])} FROM {SCHEMA}.{table} WHERE id <= ${first}"
        changing = _CHANGING.get(table)
        if changing is None:
            async with self.database.reading() as connection:
                return await connection.fetch(_within(table, there, statement), *arguments, self._sequence)
        there += f" AND sequence <= ${first} UNION ALL {_given(table, first + 1)}"
        changed = place & SqlWhere("r.id <= $1 AND r.sequence > $2", (self._sequence, self._sequence))
        which = f"SELECT r.* FROM {SCHEMA}.{table} r WHERE {changed.clause}"
        said: dict[Subject, dict[_Key, Values]] = {}
        while True:
            async with (
                self.database.reading() as connection,
                # What changes between the two questions must not be missed by both.
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                found = [dict(row) for row in await connection.fetch(which, *changed.args)]
                missing = [one for one in dict.fromkeys(map(changing.subject, found)) if one not in said]
                if not missing:
                    then = [_as_it_was(changing, row, said) for row in found]
                    own = (self._sequence, *_columns(table, then))
                    return await connection.fetch(_within(table, there, statement), *arguments, *own)
            # Not while a connection is held: the log may take long, and there are few of them.
            for subject in missing:
                said[subject] = await self._said(changing, subject)

    async def _said(self, changing: _Changing, subject: Subject) -> dict[_Key, Values]:
        """What the envelopes of a subject had said by then, of each of the rows that they change."""
        rows = [row for record in await self._log.load(subject, until=self._sequence) for row in rows_of(record)]
        named = [_named(changing, row) for statement, row in rows if statement == changing.statement]
        return {_key(changing, values): values for values in named}


def _within(table: str, there: str, statement: str) -> str:
    """A statement that asks these rows in place of the table's."""
    return f"WITH {table} AS ({there}) {statement.replace(TABLE, table)}"


def _as_it_was(changing: _Changing, row: Values, said: Mapping[Subject, Mapping[_Key, Values]]) -> Values:
    """A row that has changed since."""
    return row | changing.made(row) | said[changing.subject(row)].get(_key(changing, row), {})


def _named(changing: _Changing, row: Row) -> Values:
    return dict(zip(changing.columns, row, strict=True))


def _key(changing: _Changing, values: Values) -> _Key:
    return tuple(values[name] for name in changing.key)


def _given(table: str, first: int) -> str:
    """Rows that a statement gets as its arguments, from number `first` on, as a query."""
    columns = COLUMNS[table]
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), start=first))
    return f"SELECT {', '.join(columns)} FROM unnest({arrays}) AS given ({', '.join(columns)})"


def _columns(table: str, rows: Iterable[Values]) -> list[list[Any]]:
    """The arguments of `_given`: rows turned into columns."""
    all_rows = list(rows)
    return [[row[name] for row in all_rows] for name in COLUMNS[table]]
