"""Facts folded into the rows clients read, whatever the batches."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence

import pytest
from flyteidl.core import execution_pb2, identifier_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flightlog_log import Head, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1 import observations_pb2
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope
from services.execution.projection import fold
from services.execution.projection.rows import NodeRow, RowMissing, Rows, TaskRow
from services.execution.projection.tables import EXECUTIONS, NODE_EXECUTIONS, TASK_EXECUTIONS

KEY = ("p", "d", "run")
SUBJECT = str(Subject.of("EXECUTION", *KEY))
ID = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="run")
Phase = execution_pb2.WorkflowExecution
Task = execution_pb2.TaskExecution
Node = execution_pb2.NodeExecution


def at(second: float) -> Timestamp:
    return Timestamp(seconds=int(second), nanos=int(second % 1 * 1e9))


def envelope(sequence: int, *items: Message) -> Recorded:
    return Recorded(SUBJECT, sequence, Envelope(), items, Head(sequence, sequence, b""))


def created() -> facts.ExecutionCreated:
    config = facts.ResolvedConfig(metadata_prefix="s3://b/m/p-d-run")
    return facts.ExecutionCreated(id=ID, config=config, inputs=DataRef(uri="s3://b/in"), created_at=at(1))


def queued(node_id: str, second: float = 3, **fields: object) -> facts.NodeQueued:
    prefix = f"s3://b/m/p-d-run/{node_id}/data"
    defaults: dict[str, object] = {
        "spec_node_id": node_id,
        "kind": facts.TASK,
        "data_prefix": prefix,
        "inputs": DataRef(uri=f"{prefix}/inputs.pb"),
    }
    return facts.NodeQueued(node_id=node_id, occurred_at=at(second), **(defaults | fields))  # type: ignore[arg-type]


def scheduled(node_id: str, attempt: int, second: float) -> facts.AttemptScheduled:
    return facts.AttemptScheduled(
        node_id=node_id,
        attempt=attempt,
        task_type="python-task",
        generated_name=f"run-{node_id}-{attempt}",
        output_prefix=f"s3://b/m/p-d-run/{node_id}/data/{attempt}",
        checkpoint_prefix=f"s3://b/raw/{attempt}/_flytecheckpoints",
        occurred_at=at(second),
    )


ERROR = execution_pb2.ExecutionError(code="USER:X", message="m" * 300, kind=execution_pb2.ExecutionError.USER)

HISTORY: Sequence[Recorded] = (
    envelope(7, created()),
    envelope(9, facts.ExecutionStarted(occurred_at=at(2)), queued("n0"), scheduled("n0", 0, 3.5)),
    envelope(12, facts.NodeStarted(node_id="n0", occurred_at=at(4))),
    envelope(
        13,
        facts.AttemptProgressed(node_id="n0", phase=Task.RUNNING, phase_version=1, reason="runs", occurred_at=at(5)),
    ),
    envelope(
        20,
        facts.AttemptFailed(node_id="n0", error=ERROR, recoverable=True, occurred_at=at(6)),
        facts.RetryScheduled(node_id="n0", attempt=1, due=at(6.5), occurred_at=at(6)),
        scheduled("n0", 1, 6.5),
    ),
    envelope(
        21,
        facts.AttemptSucceeded(node_id="n0", attempt=1, occurred_at=at(8)),
        facts.NodeSucceeded(node_id="n0", outputs=DataRef(uri="s3://b/out"), occurred_at=at(8)),
        facts.ExecutionSucceeded(outputs=DataRef(uri="s3://b/end/outputs.pb"), occurred_at=at(9)),
    ),
)


def folded(history: Sequence[Recorded]) -> Rows:
    rows = Rows()
    for recorded in history:
        fold.apply(rows, recorded)
    return rows


def in_batches(history: Sequence[Recorded], cuts: Sequence[int]) -> Rows:
    """As the projector does it: each batch loads what it needs from what the earlier ones stored."""
    stored = Rows()
    bounds = [0, *sorted(set(cuts)), len(history)]
    for start, end in itertools.pairwise(bounds):
        batch = history[start:end]
        needed = fold.needs(batch)
        rows = Rows(
            {key: copy.deepcopy(stored.executions[key]) for key in needed.executions if key in stored.executions},
            {key: copy.deepcopy(stored.nodes[key]) for key in needed.nodes if key in stored.nodes},
            {key: copy.deepcopy(stored.tasks[key]) for key in needed.tasks if key in stored.tasks},
        )
        for recorded in batch:
            fold.apply(rows, recorded)
        for kept, changed in (
            (stored.executions, rows.executions),
            (stored.nodes, rows.nodes),
            (stored.tasks, rows.tasks),
        ):
            for key, row in changed.items():
                kept[key] = dataclasses.replace(row, stored=row.sequence)  # type: ignore[index,assignment]
    return stored


def shown(rows: Rows) -> list[tuple[object, ...]]:
    return [
        *(EXECUTIONS.values(row) for row in rows.executions.values()),
        *(NODE_EXECUTIONS.values(row) for row in rows.nodes.values()),
        *(TASK_EXECUTIONS.values(row) for row in rows.tasks.values()),
    ]


def node(rows: Rows, node_id: str = "n0") -> NodeRow:
    return rows.nodes[(KEY, node_id)]


def task(rows: Rows, attempt: int = 0) -> TaskRow:
    return rows.tasks[(KEY, "n0", attempt)]


@given(st.lists(st.integers(0, len(HISTORY))))
def test_rows_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    assert shown(in_batches(HISTORY, cuts)) == shown(folded(HISTORY))


def test_created_execution_is_undefined_without_times_of_running() -> None:
    execution = folded(HISTORY[:1]).executions[KEY].message
    assert execution.closure.phase == Phase.UNDEFINED
    assert execution.closure.created_at == at(1)
    assert execution.closure.state_change_details.occurred_at == at(1)
    assert not execution.closure.HasField("started_at")
    assert not execution.closure.HasField("duration")


def test_execution_that_waits_for_room_is_queued_until_it_starts() -> None:
    waiting = envelope(8, facts.ExecutionWaiting(limits=["key/gpu"], occurred_at=at(1.5)))
    closure = in_batches([HISTORY[0], waiting], [1]).executions[KEY].message.closure
    assert (closure.phase, closure.updated_at) == (Phase.QUEUED, at(1.5))
    assert not closure.HasField("started_at")
    closure = in_batches([HISTORY[0], waiting, HISTORY[1]], [1, 2]).executions[KEY].message.closure
    assert (closure.phase, closure.started_at) == (Phase.RUNNING, at(2))


def test_ended_execution_has_outputs_and_lasted() -> None:
    closure = folded(HISTORY).executions[KEY].message.closure
    assert closure.outputs.uri == "s3://b/end/outputs.pb"
    assert closure.duration.ToTimedelta().total_seconds() == 7


def test_each_attempt_has_a_row_and_keeps_its_end() -> None:
    rows = folded(HISTORY)
    first, second = task(rows).message.closure, task(rows, 1).message.closure
    assert (first.phase, first.error) == (Task.FAILED, ERROR)
    assert first.duration.ToTimedelta().total_seconds() == 1
    reasons = ["task submitted to the launcher", "runs", "tried again in 0.5 s"]
    assert [reason.message for reason in first.reasons] == reasons
    assert first.reason == reasons[-1]
    assert [reason.message for reason in second.reasons] == reasons[:1]
    assert second.phase == Task.SUCCEEDED
    assert second.output_uri == "s3://b/m/p-d-run/n0/data/1/outputs.pb", "named though the task declares no outputs"
    assert not second.HasField("started_at")


def progressed(phase: Task.Phase, second: float, **fields: object) -> facts.AttemptProgressed:
    return facts.AttemptProgressed(node_id="n0", phase=phase, occurred_at=at(second), **fields)  # type: ignore[arg-type]


def told(*items: Message) -> TaskRow:
    """The first attempt of a node of which these facts are told, each in an envelope of its own."""
    begun = envelope(9, queued("n0"), scheduled("n0", 0, 3))
    history = [HISTORY[0], begun, *(envelope(10 + number, item) for number, item in enumerate(items))]
    return task(folded(history))


def test_an_attempt_may_wait_again_and_says_so() -> None:
    closure = told(
        progressed(Task.RUNNING, 4),
        progressed(Task.QUEUED, 5, reason="Suspended"),
        progressed(Task.RUNNING, 6),
    ).message.closure
    assert (closure.phase, closure.started_at, closure.updated_at) == (Task.RUNNING, at(4), at(6))
    assert [reason.message for reason in closure.reasons] == ["task submitted to the launcher", "Suspended"]


def test_the_plugin_is_what_the_runtime_says() -> None:
    assert told().message.closure.metadata.plugin_identifier == "container"
    ray = told(progressed(Task.QUEUED, 4, plugin="ray"), progressed(Task.RUNNING, 5))
    assert ray.message.closure.metadata.plugin_identifier == "ray"
    refused = told(facts.AttemptFailed(node_id="n0", error=ERROR, occurred_at=at(4), plugin="spark"))
    assert refused.message.closure.metadata.plugin_identifier == "spark"


def test_what_a_plugin_says_is_merged_as_json() -> None:
    closure = told(
        progressed(Task.QUEUED, 4, custom_info={"state": "NEW", "links": {"a": "1", "b": "2"}, "gone": True}),
        progressed(Task.RUNNING, 5, custom_info={"state": "RUNNING", "links": {"b": "3"}, "gone": None}),
        facts.AttemptFailed(node_id="n0", error=ERROR, occurred_at=at(6), custom_info={"state": "FAILED"}),  # type: ignore[arg-type]
    ).message.closure
    assert json_format.MessageToDict(closure.custom_info) == {"state": "FAILED", "links": {"a": "1", "b": "3"}}


def test_a_link_takes_the_place_of_the_one_of_its_name_or_address() -> None:
    def link(name: str, uri: str) -> execution_pb2.TaskLog:
        return execution_pb2.TaskLog(name=name, uri=uri)

    closure = told(
        progressed(Task.RUNNING, 4, logs=[link("Logs", "http://x/{{ .containerId }}"), link("Events", "http://e")]),
        progressed(Task.RUNNING, 5, logs=[link("Logs", "http://x/abc"), link("Logs", "http://y/abc")]),
        facts.AttemptFailed(
            node_id="n0",
            error=ERROR,
            occurred_at=at(6),
            logs=[link("Logs", "http://x/a?end=9"), link("All", "http://e")],
        ),
    ).message.closure
    assert [(log.name, log.uri) for log in closure.logs] == [("Logs", "http://x/a?end=9"), ("All", "http://e")]


def test_of_many_reasons_the_first_and_the_latest_stay() -> None:
    closure = told(*(progressed(Task.QUEUED, 4, reason=f"{n}/9 nodes") for n in range(300))).message.closure
    assert len(closure.reasons) == 200
    assert closure.reasons[0].message == "task submitted to the launcher"
    assert [reason.message for reason in closure.reasons[1:]] == [f"{n}/9 nodes" for n in range(101, 300)]


def test_long_reasons_fit_into_a_message_too() -> None:
    long = [progressed(Task.QUEUED, 4, reason=f"{n} " + "nodes, " * 5000) for n in range(300)]
    closure = told(*long).message.closure
    assert closure.ByteSize() < 1_000_000
    assert closure.reason.startswith("299 nodes, ")
    assert closure.reason.endswith("…")
    assert closure.reasons[-1].message == closure.reason


def test_of_what_an_attempt_used_only_what_is_known_is_shown() -> None:
    usage = observations_pb2.Usage()
    usage.wall_time.FromSeconds(7)
    ended = facts.AttemptFailed(node_id="n0", error=ERROR, occurred_at=at(6), usage=usage)
    assert json_format.MessageToDict(told(ended).message.closure.custom_info) == {"wall_seconds": 7}


def test_node_shows_the_checkpoint_of_the_attempt_that_ended_by_itself() -> None:
    closure = node(folded(HISTORY)).message.closure
    assert closure.phase == Node.SUCCEEDED
    assert closure.task_node_metadata.checkpoint_uri == "s3://b/raw/1/_flytecheckpoints"


def with_deck(attempt: int, second: float) -> facts.AttemptScheduled:
    fact = scheduled("n0", attempt, second)
    fact.deck_uri = f"s3://b/{attempt}/deck.html"
    return fact


def test_deck_is_shown_while_the_task_runs_and_at_its_end_if_there_is_one() -> None:
    for written in ("s3://b/1/deck.html", ""):
        rows = folded([HISTORY[0], envelope(9, queued("n0"), with_deck(0, 3), facts.NodeStarted(node_id="n0"))])
        closure = node(rows).message.closure
        assert (closure.phase, closure.deck_uri) == (Node.RUNNING, "s3://b/0/deck.html")
        fold.apply(rows, envelope(10, facts.AttemptFailed(node_id="n0", occurred_at=at(4)), with_deck(1, 4)))
        assert closure.deck_uri == "s3://b/1/deck.html"
        fold.apply(rows, envelope(11, facts.NodeFailed(node_id="n0", deck_uri=written, occurred_at=at(5))))
        assert closure.deck_uri == written


def test_deck_of_a_dynamic_node_outlasts_its_task() -> None:
    rows = folded([HISTORY[0], envelope(9, queued("n0"), with_deck(0, 3), facts.NodeStarted(node_id="n0"))])
    plan = planned(0, second=4)
    plan.deck_uri = "s3://b/0/deck.html"
    fold.apply(rows, envelope(10, facts.AttemptSucceeded(node_id="n0", occurred_at=at(4)), plan))
    fold.apply(rows, envelope(11, facts.NodeSucceeded(node_id="n0", occurred_at=at(5))))
    assert node(rows).message.closure.deck_uri == "s3://b/0/deck.html"


def test_node_of_an_aborted_attempt_shows_no_checkpoint() -> None:
    end = envelope(
        14,
        facts.AttemptAborted(node_id="n0", occurred_at=at(6)),
        facts.NodeAborted(node_id="n0", occurred_at=at(6)),
    )
    rows = folded([*HISTORY[:4], end])
    assert task(rows).message.closure.phase == Task.ABORTED
    assert not task(rows).message.closure.HasField("error"), "as recorded"
    assert not node(rows).message.closure.HasField("task_node_metadata")


def planned(attempt: int, second: float) -> facts.DynamicPlanned:
    return facts.DynamicPlanned(
        node_id="n0",
        attempt=attempt,
        closure=DataRef(uri=f"s3://b/{attempt}/dynamic_compiled.pb"),
        job_spec=DataRef(uri=f"s3://b/{attempt}/futures.pb"),
        occurred_at=at(second),
    )


def test_a_node_whose_task_asked_for_nodes_is_their_parent() -> None:
    rows = folded(HISTORY[:3])
    fold.apply(rows, envelope(20, facts.AttemptSucceeded(node_id="n0", occurred_at=at(6)), planned(0, second=6.5)))
    message = node(rows).message
    assert Node.Phase.Name(message.closure.phase) == "DYNAMIC_RUNNING"
    assert (message.metadata.is_dynamic, message.metadata.is_parent_node) == (True, True)
    assert message.closure.dynamic_job_spec_uri == "s3://b/0/futures.pb"
    assert message.closure.updated_at == at(6.5)
    assert node(rows).dynamic_closure_uri == "s3://b/0/dynamic_compiled.pb"
    fold.apply(rows, envelope(21, facts.NodeSucceeded(node_id="n0", outputs=DataRef(uri="s3://b/out"))))
    # As recorded: present, and empty.
    assert message.closure.HasField("task_node_metadata")
    assert not message.closure.task_node_metadata.checkpoint_uri
    assert message.metadata.is_dynamic


def test_a_task_that_asks_again_is_seen_to_run_and_shows_its_last_plan() -> None:
    rows = folded(HISTORY[:3])
    fold.apply(rows, envelope(20, facts.AttemptSucceeded(node_id="n0", occurred_at=at(6)), planned(0, second=6)))
    fold.apply(rows, envelope(21, scheduled("n0", 1, 7)))
    message = node(rows).message
    assert message.closure.phase == Node.RUNNING
    assert message.metadata.is_dynamic
    fold.apply(rows, envelope(22, planned(1, second=8)))
    assert message.closure.phase == Node.DYNAMIC_RUNNING
    assert node(rows).dynamic_closure_uri == "s3://b/1/dynamic_compiled.pb"


def test_end_node_names_no_outputs() -> None:
    history = [
        HISTORY[0],
        envelope(
            8,
            queued("end-node", kind=facts.END),
            facts.NodeSucceeded(node_id="end-node", outputs=DataRef(uri="s3://b/x")),
        ),
    ]
    assert not node(folded(history), "end-node").message.closure.HasField("output_uri")


def test_skip_after_a_failure_is_visible_with_the_place_of_its_inputs() -> None:
    skipped = facts.NodeSkipped(node_id="n1", spec_node_id="n1", kind=facts.TASK, visible=True, occurred_at=at(4))
    hidden = facts.NodeSkipped(node_id="n2", spec_node_id="n2", kind=facts.TASK, occurred_at=at(4))
    rows = folded([HISTORY[0], envelope(8, skipped, hidden)])
    assert node(rows, "n1").message.closure.phase == Node.SKIPPED
    assert node(rows, "n1").message.input_uri == "s3://b/m/p-d-run/n1/data/inputs.pb"
    assert (KEY, "n2") not in rows.nodes


def test_skipped_child_has_its_inputs_under_the_parent() -> None:
    parent = queued("n0", kind=facts.SUB_WORKFLOW, is_parent=True)
    child = facts.NodeSkipped(
        node_id="n0-0-n1", spec_node_id="n1", parent_node_id="n0", retry_group="0", kind=facts.TASK, visible=True
    )
    rows = folded([HISTORY[0], envelope(8, parent), envelope(9, child)])
    assert node(rows, "n0-0-n1").message.input_uri == "s3://b/m/p-d-run/n0/data/0/n1/inputs.pb"
    assert node(rows, "n0-0-n1").parent_id == node(rows).id
    assert node(rows).message.metadata.is_parent_node


def test_abort_keeps_its_cause_to_the_end() -> None:
    asked = facts.AbortRequested(cause="enough", principal="me", occurred_at=at(4))
    rows = folded([*HISTORY[:2], envelope(11, asked)])
    assert rows.executions[KEY].message.closure.phase == Phase.ABORTING
    fold.apply(rows, envelope(12, facts.ExecutionAborted(occurred_at=at(5))))
    closure = rows.executions[KEY].message.closure
    assert closure.phase == Phase.ABORTED
    assert closure.abort_metadata.cause == "enough"


def test_row_that_contains_an_envelope_is_left_alone() -> None:
    rows = folded(HISTORY)
    for row in (*rows.executions.values(), *rows.nodes.values(), *rows.tasks.values()):
        row.stored = row.sequence
    before = shown(rows)
    for recorded in HISTORY:
        fold.apply(rows, recorded)
    assert shown(rows) == before


def test_history_without_its_beginning_is_refused() -> None:
    with pytest.raises(RowMissing):
        folded(HISTORY[1:])


def test_free_text_with_nul_fits_into_the_columns() -> None:
    asked = facts.AbortRequested(cause="a\0b", occurred_at=at(4))
    rows = folded([*HISTORY[:2], envelope(11, asked)])
    assert "ab" in EXECUTIONS.values(rows.executions[KEY])
