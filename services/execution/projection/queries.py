"""Reads of the tables, each no older than the log when the call came (read your writes, DESIGN §4).

An execution's rows come from its own subject alone, so a read of one execution waits only for that subject's last
envelope; a list over executions waits for the stream's. As of a sequence of the past the same statements are asked of
rows that are folded for it, as the projection folds them.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flyteidl.admin.execution_pb2 import Execution
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.signal_pb2 import Signal
from flyteidl.admin.task_execution_pb2 import TaskExecution

from flightlog_log import Log
from flightlog_read import Database, Page, SqlWhere, equals
from flightlog_rpc import as_of
from flightlog_rpc.moments import Moment
from services.execution import subjects
from services.execution.projection import elements
from services.execution.projection.entities import EXECUTION
from services.execution.projection.past import Past
from services.execution.projection.relations import LIVE, ExecutionsAsOf, Folded, Relations, first_id_after
from services.execution.projection.rows import ExecutionRow
from services.execution.projection.tables import storable
from services.execution.subjects import ExecutionKey

_OF_EXECUTION = "execution_project = $1 AND execution_domain = $2 AND execution_name = $3"
_GET_EXECUTION = f"SELECT message, inputs_uri, user_inputs_uri FROM {{executions}} WHERE {_OF_EXECUTION}"
_GET_NODE = f"SELECT message FROM {{node_executions}} WHERE {_OF_EXECUTION} AND node_id = $4"
_GET_CLOSURE = f"SELECT dynamic_closure_uri FROM {{node_executions}} WHERE {_OF_EXECUTION} AND node_id = $4"
_GET_TASK = (
    f"SELECT message, elements FROM {{task_executions}} WHERE {_OF_EXECUTION} AND node_id = $4 AND retry_attempt = $5"
)
_GET_ELEMENTS = (
    "SELECT element, message FROM {array_elements} "
    f"WHERE {_OF_EXECUTION} AND array_id = $4 AND array_attempt = $5 ORDER BY element, retry_attempt"
)
_WHICH_EXIST = (
    "SELECT execution_project, execution_domain, execution_name FROM {executions} "
    "JOIN unnest($1::text[], $2::text[], $3::text[]) AS named (execution_project, execution_domain, execution_name) "
    "USING (execution_project, execution_domain, execution_name) WHERE id < $4 OR $4 IS NULL"
)
_GET_SIGNAL = f"SELECT message FROM {{signals}} WHERE {_OF_EXECUTION} AND signal_id = $4"
_JOIN_EXECUTION = " JOIN {executions} e USING (execution_project, execution_domain, execution_name)"
_JOIN_NODE = " JOIN {node_executions} ne USING (execution_project, execution_domain, execution_name, node_id)"
_FOLDED_AT_ONCE = 16


Concerned = tuple[str, Callable[[Any], bool]]
"""A table, and which of its rows a statement asks for."""


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
    """Queries of the schema `execution`, or of rows as they were. All raise `flightlog_read.StaleRead` when the
    projection lags too long.

    Args:
        sequence: as of which is answered; None: now.
    """

    def __init__(
        self,
        log: Log,
        database: Database,
        progress: Progress,
        *,
        sequence: int | None = None,
        past: Past | None = None,
    ) -> None:
        self._log = log
        self._database = database
        self._progress = progress
        self._past = past or Past(log)
        self.sequence = sequence

    async def as_of(self, moment: Moment) -> "Reads":
        """The same reads, answered as of a moment. Raises `RpcError`: OUT_OF_RANGE."""
        return self.at(await as_of.sequence_of(self._log, subjects.EXECUTION, moment))

    def at(self, sequence: int) -> "Reads":
        """The same reads, answered as of a sequence."""
        return Reads(self._log, self._database, self._progress, sequence=sequence, past=self._past)

    async def forget(self, project: str) -> None:
        """Read how the executions of a project were from the log again: their personal data may be gone."""
        self._past.forget(project)

    async def execution(self, key: ExecutionKey) -> StoredExecution | None:
        """One execution; None when there is none of that name."""
        for row in await self._ask(key, _GET_EXECUTION, *key):
            return StoredExecution(Execution.FromString(row["message"]), row["inputs_uri"], row["user_inputs_uri"])
        return None

    async def node(self, key: ExecutionKey, node_id: str) -> NodeExecution | None:
        """One node execution by its unique id."""
        found = await self._nodes(await self._ask(key, _GET_NODE, *key, node_id, of=_of_node(node_id)))
        return found[0] if found else None

    async def dynamic_closure(self, key: ExecutionKey, node_id: str) -> str:
        """Where the compiled workflow of a dynamic node lies; "" when it has none."""
        for row in await self._ask(key, _GET_CLOSURE, *key, node_id, of=_of_node(node_id)):
            return row["dynamic_closure_uri"]
        return ""

    async def task(self, key: ExecutionKey, node_id: str, attempt: int) -> TaskExecution | None:
        """One attempt of a node's task."""
        if attempt > 0x7FFFFFFF:
            return None
        for row in await self._ask(key, _GET_TASK, *key, node_id, attempt, of=_of_tasks(node_id)):
            return await self._shown(key, row)
        return None

    async def executions(self, place: SqlWhere, where: SqlWhere, order: str, page: Page) -> list[Execution]:
        """A page of executions; `where` and `order` speak of `e`.

        Args:
            place: the part of the condition that is about their ids alone, which never change.
        """
        where = place & where
        statement = f"SELECT e.message FROM {{executions}} e WHERE {where.clause} ORDER BY {order} {page.sql}"
        if self.sequence is None:
            await self._progress.wait_for(await self._log.stream_sequence(subjects.EXECUTION))
            rows = await self._fetch(LIVE, statement, where.args)
        else:
            rows = await self._executions_as_of(self.sequence, place, statement, where.args)
        return [Execution.FromString(row["message"]) for row in rows]

    async def _executions_as_of(
        self, sequence: int, place: SqlWhere, statement: str, arguments: Sequence[Any]
    ) -> Sequence[Any]:
        """Folds those that have changed since; all others are as they were."""
        await self._progress.wait_for(sequence)
        changed = place & SqlWhere("e.id < $1 AND e.sequence > $2", (first_id_after(sequence), sequence))
        keys = "e.execution_project, e.execution_domain, e.execution_name"
        which, given = LIVE.bind(f"SELECT {keys} FROM {{executions}} e WHERE {changed.clause}", changed.args)
        folded: dict[ExecutionKey, ExecutionRow | None] = {}
        while True:
            async with (
                self._database.reading() as connection,
                # What changes between the two questions must not be missed by both.
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                found: list[ExecutionKey] = [(row[0], row[1], row[2]) for row in await connection.fetch(which, *given)]
                missing = [key for key in found if key not in folded]
                if not missing:
                    then = [row for key in found if (row := folded[key]) is not None]
                    question, all_given = ExecutionsAsOf(sequence, then).bind(statement, arguments)
                    return await connection.fetch(question, *all_given)
            # Not while a connection is held: folding may take long, and there are few of them.
            limit = asyncio.Semaphore(_FOLDED_AT_ONCE)
            rows = await asyncio.gather(*(self._execution_as_of(key, sequence, limit) for key in missing))
            folded.update(zip(missing, rows, strict=True))

    async def _execution_as_of(self, key: ExecutionKey, sequence: int, limit: asyncio.Semaphore) -> ExecutionRow | None:
        async with limit:
            return (await self._past.folded(key, sequence)).executions.get(key)

    async def nodes(
        self, key: ExecutionKey, parent: str | None, where: SqlWhere, order: str, page: Page
    ) -> list[NodeExecution]:
        """A page of an execution's nodes: those below `parent`, "" for the roots; None for all."""
        select = "SELECT ne.message FROM {node_executions} ne"
        if any(field.startswith("execution.") for field in where.fields):
            select += _JOIN_EXECUTION
        own = _of("ne", key)
        of: Concerned | None = None
        if parent is not None:
            own = own & SqlWhere("ne.parent_node_id = $1", (parent,))
            of = ("node_executions", lambda row: row.parent_node_id == parent)
        return await self._nodes(await self._list(key, select, own & where, order, page, of=of))

    async def _nodes(self, rows: Sequence[Any]) -> list[NodeExecution]:
        """Node executions as clients get them: they name no child execution that cannot be read, or not yet.

        A child is asked for before it is made, and clients follow its name as soon as they see it.
        """
        nodes = [NodeExecution.FromString(row["message"]) for row in rows]
        children = [
            (subjects.key_of(node.closure.workflow_node_metadata.executionId), node.closure)
            for node in nodes
            if node.closure.HasField("workflow_node_metadata")
        ]
        if children:
            there = await self._existing({child for child, _ in children})
            for child, closure in children:
                if child not in there:
                    closure.ClearField("workflow_node_metadata")
        return nodes

    async def _existing(self, keys: set[ExecutionKey]) -> set[ExecutionKey]:
        """Those of some executions that can be read."""
        if self.sequence is not None:
            await self._progress.wait_for(self.sequence)
            return await self._stored(keys, first_id_after(self.sequence))
        there = await self._stored(keys, None)
        if missing := keys - there:
            last = max(await asyncio.gather(*(self._last(key) for key in missing)))
            if last:
                await self._progress.wait_for(last)
                there |= await self._stored(missing, None)
        return there

    async def _stored(self, keys: set[ExecutionKey], before: int | None) -> set[ExecutionKey]:
        rows = await self._fetch(LIVE, _WHICH_EXIST, (*zip(*keys, strict=True), before))
        return {(row[0], row[1], row[2]) for row in rows}

    async def tasks(
        self, key: ExecutionKey, node_id: str, where: SqlWhere, order: str, page: Page
    ) -> list[TaskExecution]:
        """A page of a node's attempts."""
        select = "SELECT te.message, te.elements FROM {task_executions} te"
        if any(field.startswith("execution.") for field in where.fields):
            select += _JOIN_EXECUTION
        if any(field.startswith("node_execution.") for field in where.fields):
            select += _JOIN_NODE
        own = _of("te", key) & SqlWhere("te.node_id = $1", (node_id,))
        rows = await self._list(key, select, own & where, order, page, of=_of_tasks(node_id))
        return [await self._shown(key, row) for row in rows]

    async def _shown(self, key: ExecutionKey, row: Any) -> TaskExecution:
        """A task execution as clients get it: an array's with its elements."""
        task = TaskExecution.FromString(row["message"])
        if row["elements"]:
            array, attempt = task.id.node_execution_id.node_id, task.id.retry_attempt
            concerned: Concerned = ("array_elements", lambda item: item.array_id == array)
            stored = await self._ask(key, _GET_ELEMENTS, *key, array, attempt, of=concerned)
            elements.show(task, row["elements"], ((item["element"], item["message"]) for item in stored))
        return task

    async def signal(self, key: ExecutionKey, signal_id: str) -> Signal | None:
        """One signal of an execution."""
        for row in await self._ask(key, _GET_SIGNAL, *key, storable(signal_id)):
            return Signal.FromString(row["message"])
        return None

    async def signals(self, key: ExecutionKey, where: SqlWhere, order: str, page: Page) -> list[Signal]:
        """A page of an execution's signals."""
        rows = await self._list(key, "SELECT s.message FROM {signals} s", _of("s", key) & where, order, page)
        return [Signal.FromString(row["message"]) for row in rows]

    async def _list(
        self,
        key: ExecutionKey,
        select: str,
        where: SqlWhere,
        order: str,
        page: Page,
        *,
        of: Concerned | None = None,
    ) -> Sequence[Any]:
        statement = f"{select} WHERE {where.clause} ORDER BY {order} {page.sql}"
        return await self._ask(key, statement, *where.args, of=of)

    async def _ask(
        self, key: ExecutionKey, statement: str, *arguments: Any, of: Concerned | None = None
    ) -> Sequence[Any]:
        """Asks the tables as soon as they show the execution as the log has it, or its rows as they were.

        No rows when there is none of that name. `of`: the statement asks for no other rows of a table than these.
        """
        last = await self._last(key)
        if last == 0:
            return ()
        if self.sequence is not None and last > self.sequence:
            folded = Folded.of(await self._past.rows(key, self.sequence, last))
            return await self._fetch(folded if of is None else folded.narrowed(*of), statement, arguments)
        await self._progress.wait_for(last)
        rows = await self._fetch(LIVE, statement, arguments)
        if self.sequence is not None and await self._last(key) > self.sequence:
            # It went on meanwhile, and the tables with it.
            return await self._ask(key, statement, *arguments, of=of)
        return rows

    async def _last(self, key: ExecutionKey) -> int:
        """The last sequence that the log has of an execution; 0 when it has none."""
        subject = subjects.execution(key)
        return 0 if subject is None else await self._log.last_sequence(subject)

    async def _fetch(self, relations: Relations, statement: str, arguments: Sequence[Any]) -> Sequence[Any]:
        question, given = relations.bind(statement, arguments)
        async with self._database.reading() as connection:
            return await connection.fetch(question, *given)


def _of_node(node_id: str) -> Concerned:
    return "node_executions", lambda row: row.key[1] == node_id


def _of_tasks(node_id: str) -> Concerned:
    return "task_executions", lambda row: row.key[1] == node_id


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
