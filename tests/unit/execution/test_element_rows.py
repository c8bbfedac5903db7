"""Elements of arrays: rows of their own, shown inside the array's one task execution, whatever the batches."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence

from flyteidl.admin.task_execution_pb2 import TaskExecution as ShownTask
from flyteidl.core import execution_pb2, identifier_pb2
from flyteidl.event.event_pb2 import ExternalResourceInfo
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from flightlog_log import Recorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.projection import elements, fold
from services.execution.projection.rows import Rows
from services.execution.projection.tables import ARRAY_ELEMENTS, NODE_EXECUTIONS, TASK_EXECUTIONS
from tests.unit.execution.test_projection_fold import ERROR, KEY, at, created, envelope, queued, scheduled

Task = execution_pb2.TaskExecution
MAP_TASK = identifier_pb2.Identifier(resource_type=identifier_pb2.TASK, project="p", domain="d", name="m", version="v")


def element(index: int, second: float = 4) -> facts.NodeQueued:
    return queued(
        f"n0-0-n{index}", second, spec_node_id=f"n{index}", parent_node_id="n0", retry_group="0", element=index
    )


def ran(index: int, attempt: int, second: float, *, uri: str = "") -> tuple[Message, ...]:
    node_id = f"n0-0-n{index}"
    log = execution_pb2.TaskLog(name="stdout", uri=uri or f"http://logs/{node_id}/{attempt}")
    return (
        scheduled(node_id, attempt, second),
        facts.NodeStarted(node_id=node_id, occurred_at=at(second)),
        facts.AttemptProgressed(node_id=node_id, attempt=attempt, phase=Task.RUNNING, logs=[log], phase_version=1),
    )


HISTORY: Sequence[Recorded] = (
    envelope(1, created()),
    envelope(
        2,
        facts.ExecutionStarted(occurred_at=at(2)),
        queued("n0", kind=facts.ARRAY),
        facts.NodeStarted(node_id="n0", occurred_at=at(3)),
        facts.ArrayPlanned(node_id="n0", size=4, min_successes=3, parallelism=3, task_id=MAP_TASK, occurred_at=at(3)),
        element(0),
        element(1),
        element(2),
    ),
    envelope(3, *ran(0, 0, 5)),
    envelope(4, *ran(1, 0, 5)),
    envelope(
        5,
        facts.AttemptSucceeded(node_id="n0-0-n0", occurred_at=at(6)),
        facts.NodeSucceeded(node_id="n0-0-n0", occurred_at=at(6)),
        facts.NodeSucceeded(node_id="n0-0-n2", cache_status=3, occurred_at=at(6)),
    ),
    envelope(
        6,
        facts.AttemptFailed(node_id="n0-0-n1", error=ERROR, recoverable=True, occurred_at=at(7)),
        facts.RetryScheduled(node_id="n0-0-n1", attempt=1),
        *ran(1, 1, 7),
    ),
    envelope(
        7,
        facts.AttemptSucceeded(node_id="n0-0-n1", attempt=1, occurred_at=at(8)),
        facts.NodeSucceeded(node_id="n0-0-n1", occurred_at=at(8)),
    ),
)
END = envelope(
    8,
    facts.ArrayEnded(node_id="n0", phase=Task.SUCCEEDED, outputs=DataRef(uri="s3://b/o"), occurred_at=at(9)),
    facts.NodeSucceeded(node_id="n0", outputs=DataRef(uri="s3://b/o"), occurred_at=at(9)),
)


def in_batches(history: Sequence[Recorded], cuts: Sequence[int]) -> Rows:
    """As the projector does it: each batch loads what it needs from what the earlier ones stored."""
    stored = Rows()
    for start, end in itertools.pairwise([0, *sorted(set(cuts)), len(history)]):
        batch = history[start:end]
        needed = fold.needs(batch)
        rows = Rows(
            {key: copy.deepcopy(row) for key, row in stored.executions.items() if key in needed.executions},
            {key: copy.deepcopy(row) for key, row in stored.nodes.items() if key in needed.nodes},
            {key: copy.deepcopy(row) for key, row in stored.tasks.items() if key in needed.tasks},
        )
        for key, row in stored.elements.items():
            if key[:2] in needed.elements - rows.nodes.keys():
                rows.add_element(copy.deepcopy(row))
        for recorded in batch:
            fold.apply(rows, recorded)
        for kept, changed in (
            (stored.executions, rows.executions),
            (stored.nodes, rows.nodes),
            (stored.tasks, rows.tasks),
            (stored.elements, rows.elements),
        ):
            for key, row in changed.items():
                kept[key] = dataclasses.replace(row, stored=row.sequence)  # type: ignore[index,assignment]
    return stored


def columns(rows: Rows) -> list[tuple[object, ...]]:
    return [
        *(NODE_EXECUTIONS.values(row) for row in rows.nodes.values()),
        *(TASK_EXECUTIONS.values(row) for row in rows.tasks.values()),
        *(ARRAY_ELEMENTS.values(row) for row in rows.elements.values()),
    ]


def shown(rows: Rows) -> ShownTask:
    row = rows.tasks[KEY, "n0", 0]
    task = copy.deepcopy(row.message)
    stored = sorted((e.message.index, e.message.retry_attempt, e.message) for e in rows.elements.values())
    elements.show(task, row.elements, ((index, message.SerializeToString()) for index, _, message in stored))
    return task


@given(st.lists(st.integers(0, len(HISTORY) + 1)))
def test_rows_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    whole = (*HISTORY, END)
    assert columns(in_batches(whole, cuts)) == columns(in_batches(whole, ()))


def test_elements_are_resources_of_one_task_execution() -> None:
    task = shown(in_batches(HISTORY, range(8)))
    assert task.id.task_id == MAP_TASK
    assert (task.closure.task_type, task.closure.metadata.plugin_identifier) == ("container_array", "k8s-array")
    assert (task.closure.phase, task.closure.event_version) == (Task.RUNNING, 1)
    resources = task.closure.metadata.external_resources
    assert [(r.index, r.retry_attempt, Task.Phase.Name(r.phase), r.cache_status) for r in resources] == [
        (0, 0, "SUCCEEDED", 0),
        (1, 0, "FAILED", 0),
        (1, 1, "SUCCEEDED", 0),
        (2, 0, "SUCCEEDED", 3),
        (3, 0, "UNDEFINED", 0),
    ]
    assert [r.external_id for r in resources] == [
        "run-n0-0-n0-0", "run-n0-0-n1-0", "run-n0-0-n1-1", "run-n0-0-n2-0", "",
    ]  # fmt: skip
    assert [(log.name, log.uri) for log in resources[2].logs] == [("stdout-1", "http://logs/n0-0-n1/1")]


def test_a_link_takes_the_place_of_the_one_of_its_name() -> None:
    history = [*HISTORY[:4], envelope(5, ran(0, 0, 6, uri="http://logs/and-its-end")[-1])]
    (resource, *_) = shown(in_batches(history, [])).closure.metadata.external_resources
    assert [(log.name, log.uri) for log in resource.logs] == [("stdout-0", "http://logs/and-its-end")]


def test_what_would_be_too_large_for_clients_is_shown_without_links() -> None:
    def stored(index: int, phase: Task.Phase) -> tuple[int, bytes]:
        logs = [execution_pb2.TaskLog(name="stdout", uri="http://logs/" + "x" * 400)]
        resource = ExternalResourceInfo(external_id=f"run-n0-0-n{index}-0", index=index, phase=phase, logs=logs)
        return index, resource.SerializeToString()

    task = ShownTask()
    elements.show(task, 12_000, [stored(i, Task.SUCCEEDED) for i in range(9999)] + [stored(9999, Task.FAILED)])
    resources = task.closure.metadata.external_resources
    assert (len(resources), resources[-1].index) == (12_000, 11_999)
    assert [index for index, resource in enumerate(resources) if resource.logs] == [9999]
    task = ShownTask()
    elements.show(task, 20_000, [stored(i, Task.FAILED if i % 2 else Task.RUNNING) for i in range(20_000)])
    assert task.ByteSize() < 4 << 20


def test_the_nodes_of_elements_have_no_rows() -> None:
    rows = in_batches(HISTORY, ())
    assert [node_id for _, node_id in rows.nodes] == ["n0"]
    assert [(node_id, attempt) for _, node_id, attempt in rows.tasks] == [("n0", 0)]
    assert rows.nodes[KEY, "n0"].message.metadata.is_array


def test_the_end_of_an_array_is_that_of_its_task_execution() -> None:
    task = shown(in_batches((*HISTORY, END), ()))
    assert (task.closure.phase, task.closure.output_uri) == (Task.SUCCEEDED, "s3://b/o")
    assert (task.closure.duration.seconds, task.closure.updated_at) == (6, at(9))


def test_a_failed_array_shows_its_error_and_what_was_stopped() -> None:
    end = envelope(
        8,
        facts.NodeAborted(node_id="n0-0-n2", occurred_at=at(8)),
        facts.ArrayEnded(node_id="n0", phase=Task.FAILED, error=ERROR, occurred_at=at(9)),
        facts.NodeFailed(node_id="n0", error=ERROR, occurred_at=at(9)),
    )
    task = shown(in_batches((*HISTORY[:4], end), (3, 4)))
    assert (task.closure.phase, task.closure.error) == (Task.FAILED, ERROR)
    assert [Task.Phase.Name(r.phase) for r in task.closure.metadata.external_resources] == [
        "RUNNING", "RUNNING", "ABORTED", "UNDEFINED",
    ]  # fmt: skip


def test_a_child_execution_that_was_not_waited_for_shows_as_aborted() -> None:
    child = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="child")
    end = envelope(
        3,
        facts.ChildExecutionRequested(node_id="n0-0-n0", execution_id=child, occurred_at=at(5)),
        facts.ChildExecutionEnded(node_id="n0-0-n0", phase=execution_pb2.WorkflowExecution.ABORTING, occurred_at=at(6)),
        facts.NodeAborted(node_id="n0-0-n0", occurred_at=at(6)),
    )
    first = shown(in_batches((*HISTORY[:2], end), (2,))).closure.metadata.external_resources[0]
    assert (first.phase, first.external_id) == (Task.ABORTED, "child")


def test_a_task_that_is_an_array_is_no_array_node_to_clients() -> None:
    history = (envelope(1, created()), envelope(2, queued("n0", kind=facts.ARRAY, is_array_task=True)))
    assert not in_batches(history, ()).nodes[KEY, "n0"].message.metadata.is_array
