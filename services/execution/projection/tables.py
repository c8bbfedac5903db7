"""Rows to columns and back: the one mapping between folded rows and the tables of `ddl.sql`."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from flyteidl.admin.execution_pb2 import Execution, ExecutionMetadata
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.task_execution_pb2 import TaskExecution
from flyteidl.core import catalog_pb2, execution_pb2
from flyteidl.core.identifier_pb2 import TASK
from flyteidl.event.event_pb2 import ExternalResourceInfo

from services.execution.projection.rows import ElementRow, ExecutionRow, NodeRow, Row, TaskRow
from services.execution.projection.times import instant, nanoseconds

DDL = Path(__file__).with_name("ddl.sql").read_text()

_MODES = frozenset(ExecutionMetadata.ExecutionMode.values())


def _name(enum: Any) -> Callable[[int], str]:
    """Names of an enum's values; a number that this release does not know is its own name."""

    @lru_cache
    def name(number: int) -> str:
        return str(enum.Name(number)) if number in enum.values() else str(number)

    return name


_execution_phase = _name(execution_pb2.WorkflowExecution.Phase)
_node_phase = _name(execution_pb2.NodeExecution.Phase)
_task_phase = _name(execution_pb2.TaskExecution.Phase)
_error_kind = _name(execution_pb2.ExecutionError.ErrorKind)
_cache_status = _name(catalog_pb2.CatalogCacheStatus)


def storable(text: str) -> str:
    """Text that clients chose freely: the database cannot hold its NUL characters (the message keeps them)."""
    return text.replace("\0", "") if "\0" in text else text


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """How rows of one kind lie in the database.

    `columns` maps column names to Postgres types; `values` gives a row's values in that order.
    """

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    values: Callable[[R], tuple[Any, ...]]
    restore: Callable[[Mapping[str, Any]], R]
    _list: int | None = field(init=False, default=None)
    """Which column holds a list, if one does."""

    def __post_init__(self) -> None:
        lists = [index for index, kind in enumerate(self.columns.values()) if kind == "text[]"]
        object.__setattr__(self, "_list", lists[0] if lists else None)

    def upsert(self) -> str:
        """One statement for any number of rows: a parameter is a whole column. A row never goes back in time."""
        names = ", ".join(self.columns)
        assigned = ", ".join(f"{name} = excluded.{name}" for name in self.columns if name not in (*self.key, "id"))
        return (
            f"INSERT INTO {self.name} ({names}) {self.given(1)} "
            f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {assigned} "
            f"WHERE {self.name}.sequence < excluded.sequence"
        )

    def given(self, first: int) -> str:
        """Rows that a statement gets as its parameters, from number `first` on, as a query."""
        names = ", ".join(self.columns)
        arrays = ", ".join(f"${index}::{kind}[]" for index, kind in enumerate(self._transported(), start=first))
        columns = ", ".join(
            f"string_to_array({name}, chr(31)) AS {name}" if kind == "text[]" else f"{name}::{kind}"
            for name, kind in self.columns.items()
        )
        return f"SELECT {columns} FROM unnest({arrays}) AS given ({names})"

    def load(self, parts: int | None = None) -> str:
        """The stored rows of given keys; a parameter is one column of the keys, or of their first parts."""
        key = self.key[:parts]
        arrays = ", ".join(f"${index}::{self.columns[name]}[]" for index, name in enumerate(key, start=1))
        names = ", ".join(key)
        return f"SELECT * FROM {self.name} JOIN unnest({arrays}) AS wanted ({names}) USING ({names})"

    def delete(self, parts: int) -> str:
        """Deletes all rows with the given first parts of a key; a parameter is one column of them."""
        key = self.key[:parts]
        arrays = ", ".join(f"${index}::{self.columns[name]}[]" for index, name in enumerate(key, start=1))
        same = " AND ".join(f"stored.{name} = gone.{name}" for name in key)
        return f"DELETE FROM {self.name} stored USING unnest({arrays}) AS gone ({', '.join(key)}) WHERE {same}"

    def parameters(self, rows: Iterable[R]) -> Sequence[tuple[Any, ...]]:
        """The parameters of `upsert` or `given`: the rows turned into columns."""
        return tuple(zip(*map(self.values, rows), strict=True)) or tuple(() for _ in self.columns)

    def copied(self, row: R) -> tuple[Any, ...]:
        """A row's values as COPY takes them: the same that `upsert` writes."""
        values = self.values(row)
        index = self._list
        if index is None:
            return values
        text = values[index]
        return (*values[:index], text.split("\x1f") if text else [], *values[index + 1 :])

    def _transported(self) -> list[str]:
        # Arrays of arrays must be rectangular: lists travel as one text, JSON as text too.
        return ["text" if kind in ("text[]", "jsonb") else kind for kind in self.columns.values()]


def _execution_values(row: ExecutionRow) -> tuple[Any, ...]:
    message = row.message
    spec, closure = message.spec, message.closure
    launch, workflow = spec.launch_plan, closure.workflow_id
    error = closure.error if closure.HasField("error") else None
    return (
        row.id,
        row.sequence,
        *row.key,
        _execution_phase(closure.phase),
        row.state,
        spec.metadata.mode if spec.metadata.mode in _MODES else 0,
        "task" if launch.resource_type == TASK else "launch_plan",
        launch.project,
        launch.domain,
        launch.name,
        launch.version,
        workflow.project,
        workflow.domain,
        workflow.name,
        workflow.version,
        storable(spec.metadata.principal),
        storable(closure.abort_metadata.cause),
        _error_kind(error.kind) if error else None,
        storable(error.code) if error else None,
        row.inputs_uri,
        row.user_inputs_uri,
        row.metadata_prefix,
        instant(closure.created_at),
        instant(closure.updated_at),
        instant(closure.started_at) if closure.HasField("started_at") else None,
        nanoseconds(closure.duration),
        storable("\x1f".join(spec.tags)),
        json.dumps(dict(spec.labels.values), sort_keys=True) if spec.labels.values else "{}",
        message.SerializeToString(deterministic=True),
    )


def _execution_row(stored: Mapping[str, Any]) -> ExecutionRow:
    return ExecutionRow(
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        key=(stored["execution_project"], stored["execution_domain"], stored["execution_name"]),
        message=Execution.FromString(stored["message"]),
        state=stored["state"],
        metadata_prefix=stored["metadata_prefix"],
        inputs_uri=stored["inputs_uri"],
        user_inputs_uri=stored["user_inputs_uri"],
    )


EXECUTIONS: Table[ExecutionRow] = Table(
    name="executions",
    key=("execution_project", "execution_domain", "execution_name"),
    columns={
        "id": "bigint",
        "sequence": "bigint",
        "execution_project": "text",
        "execution_domain": "text",
        "execution_name": "text",
        "phase": "text",
        "state": "smallint",
        "mode": "smallint",
        "launch_entity": "text",
        "launch_project": "text",
        "launch_domain": "text",
        "launch_name": "text",
        "launch_version": "text",
        "workflow_project": "text",
        "workflow_domain": "text",
        "workflow_name": "text",
        "workflow_version": "text",
        "principal": "text",
        "abort_cause": "text",
        "error_kind": "text",
        "error_code": "text",
        "inputs_uri": "text",
        "user_inputs_uri": "text",
        "metadata_prefix": "text",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "started_at": "timestamptz",
        "duration": "bigint",
        "tags": "text[]",
        "labels": "jsonb",
        "message": "bytea",
    },
    values=_execution_values,
    restore=_execution_row,
)


def _node_values(row: NodeRow) -> tuple[Any, ...]:
    message = row.message
    closure = message.closure
    error = closure.error if closure.HasField("error") else None
    task = closure.task_node_metadata if closure.HasField("task_node_metadata") else None
    (project, domain, name), node_id = row.key
    return (
        row.id,
        row.sequence,
        project,
        domain,
        name,
        node_id,
        row.kind,
        row.parent_node_id,
        row.parent_id,
        _node_phase(closure.phase),
        message.input_uri,
        row.data_prefix,
        row.checkpoint_uri,
        row.dynamic_closure_uri,
        _error_kind(error.kind) if error else None,
        storable(error.code) if error else None,
        _cache_status(task.cache_status) if task else None,
        instant(closure.created_at),
        instant(closure.updated_at),
        instant(closure.started_at) if closure.HasField("started_at") else None,
        nanoseconds(closure.duration),
        message.SerializeToString(deterministic=True),
    )


def _node_row(stored: Mapping[str, Any]) -> NodeRow:
    return NodeRow(
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        key=((stored["execution_project"], stored["execution_domain"], stored["execution_name"]), stored["node_id"]),
        message=NodeExecution.FromString(stored["message"]),
        kind=stored["kind"],
        parent_node_id=stored["parent_node_id"],
        parent_id=stored["parent_id"],
        data_prefix=stored["data_prefix"],
        checkpoint_uri=stored["checkpoint_uri"],
        dynamic_closure_uri=stored["dynamic_closure_uri"],
    )


NODE_EXECUTIONS: Table[NodeRow] = Table(
    name="node_executions",
    key=("execution_project", "execution_domain", "execution_name", "node_id"),
    columns={
        "id": "bigint",
        "sequence": "bigint",
        "execution_project": "text",
        "execution_domain": "text",
        "execution_name": "text",
        "node_id": "text",
        "kind": "smallint",
        "parent_node_id": "text",
        "parent_id": "bigint",
        "phase": "text",
        "input_uri": "text",
        "data_prefix": "text",
        "checkpoint_uri": "text",
        "dynamic_closure_uri": "text",
        "error_kind": "text",
        "error_code": "text",
        "cache_status": "text",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "started_at": "timestamptz",
        "duration": "bigint",
        "message": "bytea",
    },
    values=_node_values,
    restore=_node_row,
)


def _task_values(row: TaskRow) -> tuple[Any, ...]:
    message = row.message
    closure = message.closure
    task = message.id.task_id
    (project, domain, name), node_id, attempt = row.key
    return (
        row.id,
        row.sequence,
        project,
        domain,
        name,
        node_id,
        attempt,
        task.project,
        task.domain,
        task.name,
        task.version,
        _task_phase(closure.phase),
        row.phase_version,
        message.input_uri,
        row.output_prefix,
        row.checkpoint_uri,
        row.elements,
        instant(closure.created_at),
        instant(closure.updated_at),
        instant(closure.started_at) if closure.HasField("started_at") else None,
        nanoseconds(closure.duration),
        message.SerializeToString(deterministic=True),
    )


def _task_row(stored: Mapping[str, Any]) -> TaskRow:
    return TaskRow(
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        key=(
            (stored["execution_project"], stored["execution_domain"], stored["execution_name"]),
            stored["node_id"],
            stored["retry_attempt"],
        ),
        message=TaskExecution.FromString(stored["message"]),
        phase_version=stored["phase_version"],
        output_prefix=stored["output_prefix"],
        checkpoint_uri=stored["checkpoint_uri"],
        elements=stored["elements"],
    )


TASK_EXECUTIONS: Table[TaskRow] = Table(
    name="task_executions",
    key=("execution_project", "execution_domain", "execution_name", "node_id", "retry_attempt"),
    columns={
        "id": "bigint",
        "sequence": "bigint",
        "execution_project": "text",
        "execution_domain": "text",
        "execution_name": "text",
        "node_id": "text",
        "retry_attempt": "integer",
        "project": "text",
        "domain": "text",
        "name": "text",
        "version": "text",
        "phase": "text",
        "phase_version": "integer",
        "input_uri": "text",
        "output_prefix": "text",
        "checkpoint_uri": "text",
        "elements": "integer",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "started_at": "timestamptz",
        "duration": "bigint",
        "message": "bytea",
    },
    values=_task_values,
    restore=_task_row,
)


def _element_values(row: ElementRow) -> tuple[Any, ...]:
    (project, domain, name), node_id, attempt = row.key
    return (
        row.id,
        row.sequence,
        project,
        domain,
        name,
        node_id,
        attempt,
        row.array_id,
        row.array_attempt,
        row.message.index,
        row.message.SerializeToString(deterministic=True),
    )


def _element_row(stored: Mapping[str, Any]) -> ElementRow:
    return ElementRow(
        id=stored["id"],
        sequence=stored["sequence"],
        stored=stored["sequence"],
        key=(
            (stored["execution_project"], stored["execution_domain"], stored["execution_name"]),
            stored["node_id"],
            stored["retry_attempt"],
        ),
        message=ExternalResourceInfo.FromString(stored["message"]),
        array_id=stored["array_id"],
        array_attempt=stored["array_attempt"],
    )


ARRAY_ELEMENTS: Table[ElementRow] = Table(
    name="array_elements",
    key=("execution_project", "execution_domain", "execution_name", "node_id", "retry_attempt"),
    columns={
        "id": "bigint",
        "sequence": "bigint",
        "execution_project": "text",
        "execution_domain": "text",
        "execution_name": "text",
        "node_id": "text",
        "retry_attempt": "integer",
        "array_id": "text",
        "array_attempt": "integer",
        "element": "integer",
        "message": "bytea",
    },
    values=_element_values,
    restore=_element_row,
)
