"""The read model of executions: envelopes in, rows of five tables out, a whole batch at a time."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from flightlog_log import Recorded
from services.execution.projection import fold
from services.execution.projection.in_memory import COPIED, ExecutionInMemory
from services.execution.projection.rows import NodeKey, Row, Rows, TaskKey
from services.execution.projection.signals import SIGNALS
from services.execution.projection.tables import (
    ARRAY_ELEMENTS,
    DDL,
    EXECUTIONS,
    NODE_EXECUTIONS,
    TASK_EXECUTIONS,
    Table,
)
from services.execution.subjects import ExecutionKey

R = TypeVar("R", bound=Row)

_LOAD_EXECUTIONS, _UPSERT_EXECUTIONS = EXECUTIONS.load(), EXECUTIONS.upsert()
_LOAD_NODES, _UPSERT_NODES = NODE_EXECUTIONS.load(), NODE_EXECUTIONS.upsert()
_LOAD_TASKS, _UPSERT_TASKS = TASK_EXECUTIONS.load(), TASK_EXECUTIONS.upsert()
_LOAD_SIGNALS, _UPSERT_SIGNALS = SIGNALS.load(), SIGNALS.upsert()
# All attempts of an element: its key is theirs without the last part.
_LOAD_ELEMENTS, _UPSERT_ELEMENTS = ARRAY_ELEMENTS.load(-1), ARRAY_ELEMENTS.upsert()
_DELETES = tuple(
    table.delete(len(EXECUTIONS.key))
    for table in (EXECUTIONS, NODE_EXECUTIONS, TASK_EXECUTIONS, SIGNALS, ARRAY_ELEMENTS)
)


class ExecutionProjection:
    """Follows the stream EXECUTION into the schema `execution`."""

    name = "execution"
    stream = "EXECUTION"
    version = 5

    copied = COPIED

    def ddl(self) -> str:
        """Tables and indexes, with unqualified names."""
        return DDL

    def aggregate(self, subject: str) -> ExecutionInMemory:
        """An execution of which no envelope has been folded yet."""
        return ExecutionInMemory(subject)

    async def apply(self, connection: Any, batch: Sequence[Recorded]) -> None:
        """Folds a batch into the tables: at most one load and one write per table, whatever the batch holds.

        Raises:
            RowMissing: an execution's history lacks its beginning.
        """
        deleted = {fold.execution_key(recorded.subject) for recorded in batch if fold.is_deleted(recorded)}
        if deleted:
            batch = [recorded for recorded in batch if fold.execution_key(recorded.subject) not in deleted]
            await _delete(connection, deleted)
        rows = await _load(connection, fold.needs(batch))
        for recorded in batch:
            fold.apply(rows, recorded)
        await _write(connection, EXECUTIONS, _UPSERT_EXECUTIONS, rows.executions.values())
        await _write(connection, NODE_EXECUTIONS, _UPSERT_NODES, rows.nodes.values())
        await _write(connection, TASK_EXECUTIONS, _UPSERT_TASKS, rows.tasks.values())
        await _write(connection, SIGNALS, _UPSERT_SIGNALS, rows.signals.values())
        await _write(connection, ARRAY_ELEMENTS, _UPSERT_ELEMENTS, rows.elements.values())


async def _delete(connection: Any, keys: Iterable[ExecutionKey]) -> None:
    columns = tuple(zip(*keys, strict=True))
    for statement in _DELETES:
        await connection.execute(statement, *columns)


async def _load(connection: Any, needs: fold.Needs) -> Rows:
    rows = Rows()
    if needs.executions:
        executions = await _rows(connection, EXECUTIONS, _LOAD_EXECUTIONS, needs.executions)
        rows.executions.update((row.key, row) for row in executions)
    if needs.nodes:
        nodes = await _rows(connection, NODE_EXECUTIONS, _LOAD_NODES, _flat_nodes(needs.nodes))
        rows.nodes.update((row.key, row) for row in nodes)
    if needs.tasks:
        tasks = await _rows(connection, TASK_EXECUTIONS, _LOAD_TASKS, _flat_tasks(needs.tasks))
        rows.tasks.update((row.key, row) for row in tasks)
    if needs.signals:
        signals = await _rows(connection, SIGNALS, _LOAD_SIGNALS, _flat_nodes(needs.signals))
        rows.signals.update((row.key, row) for row in signals)
    unknown = needs.elements - rows.nodes.keys()
    if unknown:
        for row in await _rows(connection, ARRAY_ELEMENTS, _LOAD_ELEMENTS, _flat_nodes(unknown)):
            rows.add_element(row)
    return rows


def _flat_nodes(keys: Iterable[NodeKey]) -> Iterable[tuple[Any, ...]]:
    return ((*execution, node_id) for execution, node_id in keys)


def _flat_tasks(keys: Iterable[TaskKey]) -> Iterable[tuple[Any, ...]]:
    return ((*execution, node_id, attempt) for execution, node_id, attempt in keys)


async def _rows(
    connection: Any, table: Table[R], statement: str, keys: Iterable[ExecutionKey | tuple[Any, ...]]
) -> list[R]:
    columns = tuple(zip(*keys, strict=True))
    return [table.restore(stored) for stored in await connection.fetch(statement, *columns)]


async def _write(connection: Any, table: Table[R], statement: str, rows: Iterable[R]) -> None:
    changed = [row for row in rows if row.sequence > row.stored]
    if changed:
        await connection.execute(statement, *table.parameters(changed))
