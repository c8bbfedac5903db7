"""Reads of the tables, each no older than the log when the call came (read your writes, DESIGN §4).

An execution's rows come from its own subject alone, so a read of one execution waits only for that subject's last
envelope; a list over executions waits for the stream's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flyteidl.admin.execution_pb2 import Execution
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.signal_pb2 import Signal
from flyteidl.admin.task_execution_pb2 import TaskExecution

from flightlog_log import Log
from flightlog_read import Database, Page, SqlWhere, equals
from services.execution import subjects
from services.execution.projection import elements
from services.execution.projection.entities import EXECUTION
from services.execution.projection.tables import storable
from services.execution.subjects import ExecutionKey

_OF_EXECUTION = "execution_project = $1 AND execution_domain = $2 AND execution_name = $3"
_GET_EXECUTION = f"SELECT message, inputs_uri, user_inputs_uri FROM execution.executions WHERE {_OF_EXECUTION}"
_GET_NODE = f"SELECT message FROM execution.node_executions WHERE {_OF_EXECUTION} AND node_id = $4"
_GET_CLOSURE = f"SELECT dynamic_closure_uri FROM execution.node_executions WHERE {_OF_EXECUTION} AND node_id = $4"
_GET_TASK = (
    "SELECT message, elements FROM execution.task_executions "
    f"WHERE {_OF_EXECUTION} AND node_id = $4 AND retry_attempt = $5"
)
_GET_ELEMENTS = (
    "SELECT element, message FROM execution.array_elements "
    f"WHERE {_OF_EXECUTION} AND array_id = $4 AND array_attempt = $5 ORDER BY element, retry_attempt"
)
_GET_SIGNAL = f"SELECT message FROM execution.signals WHERE {_OF_EXECUTION} AND signal_id = $4"
_JOIN_EXECUTION = " JOIN execution.executions e USING (execution_project, execution_domain, execution_name)"
_JOIN_NODE = " JOIN execution.node_executions ne USING (execution_project, execution_domain, execution_name, node_id)"


class Progress(Protocol):
    """How far the projection is."""

    async def wait_for(self, sequence: int) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredExecution:
    """An execution as clients get it, and where its inputs lie."""

    message: Execution
    inputs_uri: str
    user_inputs_uri: str


class Reads:
    """Queries of the schema `execution`. All raise `flightlog_read.StaleRead` when the projection lags too long."""

    def __init__(self, log: Log, database: Database, progress: Progress) -> None:
        self._log = log
        self._database = database
        self._progress = progress

    async def execution(self, key: ExecutionKey) -> StoredExecution | None:
        """One execution; None when there is none of that name."""
        if not await self._fresh(key):
            return None
        row = await self._row(_GET_EXECUTION, *key)
        if row is None:
            return None
        return StoredExecution(Execution.FromString(row["message"]), row["inputs_uri"], row["user_inputs_uri"])

    async def node(self, key: ExecutionKey, node_id: str) -> NodeExecution | None:
        """One node execution by its unique id."""
        if not await self._fresh(key):
            return None
        row = await self._row(_GET_NODE, *key, node_id)
        return None if row is None else NodeExecution.FromString(row["message"])

    async def dynamic_closure(self, key: ExecutionKey, node_id: str) -> str:
        """Where the compiled workflow of a dynamic node lies; "" when it has none."""
        if not await self._fresh(key):
            return ""
        row = await self._row(_GET_CLOSURE, *key, node_id)
        return "" if row is None else row["dynamic_closure_uri"]

    async def task(self, key: ExecutionKey, node_id: str, attempt: int) -> TaskExecution | None:
        """One attempt of a node's task."""
        if attempt > 0x7FFFFFFF or not await self._fresh(key):
            return None
        row = await self._row(_GET_TASK, *key, node_id, attempt)
        return None if row is None else await self._shown(key, row)

    async def executions(self, where: SqlWhere, order: str, page: Page) -> list[Execution]:
        """A page of executions; `where` and `order` speak of `e`."""
        await self._progress.wait_for(await self._log.stream_sequence(subjects.EXECUTION))
        rows = await self._rows("SELECT e.message FROM execution.executions e", where, order, page)
        return [Execution.FromString(row["message"]) for row in rows]

    async def nodes(
        self, key: ExecutionKey, parent: str | None, where: SqlWhere, order: str, page: Page
    ) -> list[NodeExecution]:
        """A page of an execution's nodes: those below `parent`, "" for the roots; None for all."""
        if not await self._fresh(key):
            return []
        select = "SELECT ne.message FROM execution.node_executions ne"
        if any(field.startswith("execution.") for field in where.fields):
            select += _JOIN_EXECUTION
        own = _of("ne", key)
        if parent is not None:
            own = own & SqlWhere("ne.parent_node_id = $1", (parent,))
        rows = await self._rows(select, own & where, order, page)
        return [NodeExecution.FromString(row["message"]) for row in rows]

    async def tasks(
        self, key: ExecutionKey, node_id: str, where: SqlWhere, order: str, page: Page
    ) -> list[TaskExecution]:
        """A page of a node's attempts."""
        if not await self._fresh(key):
            return []
        select = "SELECT te.message, te.elements FROM execution.task_executions te"
        if any(field.startswith("execution.") for field in where.fields):
            select += _JOIN_EXECUTION
        if any(field.startswith("node_execution.") for field in where.fields):
            select += _JOIN_NODE
        own = _of("te", key) & SqlWhere("te.node_id = $1", (node_id,))
        rows = await self._rows(select, own & where, order, page)
        return [await self._shown(key, row) for row in rows]

    async def _shown(self, key: ExecutionKey, row: Any) -> TaskExecution:
        """A task execution as clients get it: an array's with its elements."""
        task = TaskExecution.FromString(row["message"])
        if row["elements"]:
            arguments = (*key, task.id.node_execution_id.node_id, task.id.retry_attempt)
            async with self._database.reading() as connection:
                stored = await connection.fetch(_GET_ELEMENTS, *arguments)
            elements.show(task, row["elements"], ((item["element"], item["message"]) for item in stored))
        return task

    async def signal(self, key: ExecutionKey, signal_id: str) -> Signal | None:
        """One signal of an execution."""
        if not await self._fresh(key):
            return None
        row = await self._row(_GET_SIGNAL, *key, storable(signal_id))
        return None if row is None else Signal.FromString(row["message"])

    async def signals(self, key: ExecutionKey, where: SqlWhere, order: str, page: Page) -> list[Signal]:
        """A page of an execution's signals."""
        if not await self._fresh(key):
            return []
        rows = await self._rows("SELECT s.message FROM execution.signals s", _of("s", key) & where, order, page)
        return [Signal.FromString(row["message"]) for row in rows]

    async def _fresh(self, key: ExecutionKey) -> bool:
        """Waits until the tables show the execution as the log has it; False when the log has none."""
        subject = subjects.execution(key)
        sequence = 0 if subject is None else await self._log.last_sequence(subject)
        if sequence == 0:
            return False
        await self._progress.wait_for(sequence)
        return True

    async def _row(self, statement: str, *arguments: Any) -> Any:
        async with self._database.reading() as connection:
            return await connection.fetchrow(statement, *arguments)

    async def _rows(self, select: str, where: SqlWhere, order: str, page: Page) -> Sequence[Any]:
        statement = f"{select} WHERE {where.clause} ORDER BY {order} {page.sql}"
        async with self._database.reading() as connection:
            return await connection.fetch(statement, *where.args)


def _of(alias: str, key: ExecutionKey) -> SqlWhere:
    return SqlWhere(
        f"{alias}.execution_project = $1 AND {alias}.execution_domain = $2 AND {alias}.execution_name = $3", key
    )


def of_project(project: str, domain: str, name: str) -> SqlWhere:
    """The implicit filter of ListExecutions: the request's id, an empty name filtering nothing."""
    return (
        equals(EXECUTION, "execution_project", project)
        & equals(EXECUTION, "execution_domain", domain)
        & equals(EXECUTION, "execution_name", name)
    )
