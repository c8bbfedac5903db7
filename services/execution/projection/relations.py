"""Where a statement finds its tables: in the database, or among rows that were folded for it alone.

Statements name tables in braces, `{executions}`. So there is one statement for what is and for what was.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from services.execution.projection.rows import ID_BITS, ExecutionRow, Row, Rows
from services.execution.projection.signals import SIGNALS
from services.execution.projection.tables import (
    ARRAY_ELEMENTS,
    EXECUTIONS,
    NODE_EXECUTIONS,
    TASK_EXECUTIONS,
    Table,
)

SCHEMA = "execution"
_TABLES: Mapping[str, Table[Any]] = {
    table.name: table for table in (EXECUTIONS, NODE_EXECUTIONS, TASK_EXECUTIONS, ARRAY_ELEMENTS, SIGNALS)
}
_NAMED = re.compile(r"\{([a-z_]+)\}")


class Relations(Protocol):
    """What the tables that a statement names in braces stand for."""

    def bind(self, statement: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """The statement as Postgres takes it, and its arguments: those given, then those of the tables."""
        ...

    def narrowed(self, table: str, concerned: Callable[[Any], bool]) -> "Relations":
        """The same for a statement that asks for no other rows of a table than these."""
        ...


@dataclass(frozen=True, slots=True)
class Live:
    """The tables themselves."""

    def bind(self, statement: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        return _NAMED.sub(rf"{SCHEMA}.\1", statement), arguments

    def narrowed(self, table: str, concerned: Callable[[Any], bool]) -> "Live":
        return self


LIVE = Live()


@dataclass(frozen=True, slots=True)
class Folded:
    """Rows of one execution as they were, by table."""

    rows: Mapping[str, Sequence[Row]]

    @staticmethod
    def of(rows: Rows) -> "Folded":
        return Folded(
            {
                EXECUTIONS.name: list(rows.executions.values()),
                NODE_EXECUTIONS.name: list(rows.nodes.values()),
                TASK_EXECUTIONS.name: list(rows.tasks.values()),
                ARRAY_ELEMENTS.name: list(rows.elements.values()),
                SIGNALS.name: list(rows.signals.values()),
            }
        )

    def bind(self, statement: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        all_arguments = list(arguments)
        given: list[str] = []
        for name in dict.fromkeys(_NAMED.findall(statement)):
            table = _TABLES[name]
            given.append(f"{name} AS ({table.given(len(all_arguments) + 1)})")
            all_arguments += table.parameters(self.rows[name])
        return f"WITH {', '.join(given)} {_plain(statement)}", all_arguments

    def narrowed(self, table: str, concerned: Callable[[Any], bool]) -> "Folded":
        return replace(self, rows={**self.rows, table: [row for row in self.rows[table] if concerned(row)]})


@dataclass(frozen=True, slots=True)
class ExecutionsAsOf:
    """The executions that were there at a sequence: rows that nothing has changed since, and those folded up to it."""

    sequence: int
    folded: Sequence[ExecutionRow]

    def bind(self, statement: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        first = len(arguments) + 1
        columns = ", ".join(EXECUTIONS.columns)
        unchanged = f"SELECT {columns} FROM {SCHEMA}.executions WHERE id < ${first} AND sequence <= ${first + 1}"
        given = f"WITH executions AS ({unchanged} UNION ALL {EXECUTIONS.given(first + 2)})"
        own = (first_id_after(self.sequence), self.sequence, *EXECUTIONS.parameters(self.folded))
        return f"{given} {_plain(statement)}", [*arguments, *own]

    def narrowed(self, table: str, concerned: Callable[[Any], bool]) -> "ExecutionsAsOf":
        return self


def first_id_after(sequence: int) -> int:
    """Ids of rows that were made up to a sequence are less than this."""
    return (sequence + 1) << ID_BITS


def _plain(statement: str) -> str:
    return _NAMED.sub(r"\1", statement)
