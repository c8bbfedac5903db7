"""One execution folded in memory: its rows in the end, for tables that are filled from the start of the log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flightlog_log import Recorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.projection import fold
from services.execution.projection.rows import Rows
from services.execution.projection.signals import SIGNALS
from services.execution.projection.tables import (
    ARRAY_ELEMENTS,
    EXECUTIONS,
    NODE_EXECUTIONS,
    TASK_EXECUTIONS,
    Table,
)

_TABLES: tuple[Table[Any], ...] = (EXECUTIONS, NODE_EXECUTIONS, TASK_EXECUTIONS, SIGNALS, ARRAY_ELEMENTS)
COPIED: Mapping[str, Sequence[str]] = {table.name: tuple(table.columns) for table in _TABLES}
"""All columns, by table."""
_ENDS = frozenset({facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted})


class ExecutionInMemory:
    """All rows of one execution."""

    def __init__(self, subject: str) -> None:
        self._key = fold.execution_key(subject)
        self._rows = Rows()
        self.over = False

    def apply(self, recorded: Recorded) -> None:
        """Folds the next envelope in. Raises `RowMissing` as the projection does."""
        fold.apply_to(self._rows, self._key, recorded)
        if not self.over:
            self.over = not _ENDS.isdisjoint(map(type, recorded.facts))

    def rows(self) -> Iterable[tuple[str, Sequence[object]]]:
        """Every row, by table."""
        rows = self._rows
        for table, kept in zip(
            _TABLES, (rows.executions, rows.nodes, rows.tasks, rows.signals, rows.elements), strict=True
        ):
            for row in kept.values():
                yield table.name, table.copied(row)
