"""Part A of the table: how executions begin and end."""

from __future__ import annotations

import re
from itertools import pairwise

import grpc
import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2

from tests.conformance.client import Backend, Start, refused
from tests.conformance.runs import Run, ended
from tests.conformance.values import moment

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(1, 23, 93)
@runs(Start("lifecycle.one", {"x": 41}))
def test_execution_has_times_a_name_and_start_and_end_nodes(run: Run) -> None:
    assert run.phase in ("UNDEFINED", "QUEUED", "RUNNING", "SUCCEEDING", "SUCCEEDED")
    run.succeed()
    assert re.fullmatch(r"a[a-z0-9]{19}", run.name)
    closure = run.closure
    assert run.outputs == {"o0": 42}
    assert moment(closure.created_at) <= moment(closure.started_at)
    assert moment(closure.updated_at) >= ended(closure) - 0.001
    assert closure.duration.ToNanoseconds() > 0
    assert set(run.nodes) == {"start-node", "n0", "end-node"}
    assert {node.phase for node in run.nodes.values()} == {"SUCCEEDED"}
    assert run.node("start-node").outputs == {"x": 41}
    assert run.node("end-node").inputs == {"o0": 42}
    assert run.node("n0").inputs == {"x": 41}
    synced = run.synced()
    assert synced.is_successful
    assert synced.outputs["o0"] == 42
    assert synced.node_executions["n0"].inputs["x"] == 41


@rows(2)
@runs(Start("lifecycle.nothing"))
def test_workflow_without_outputs_has_empty_ones(run: Run) -> None:
    run.succeed()
    assert run.outputs == {}
    assert run.closure.outputs.uri or run.data.outputs.url == ""
    assert not run.synced().outputs


@rows(4, 5)
def test_inputs_that_do_not_fit_are_refused(backend: Backend) -> None:
    name = "c-never-created"
    for plan, inputs in (
        ("lifecycle.wants", {}),
        ("lifecycle.wants", {"a": 1, "unknown": 2}),
        ("lifecycle.wants_fixed", {"a": 1}),
        ("lifecycle.wants", {"a": "one"}),
    ):
        assert refused(lambda p=plan, i=inputs: backend.create(p, i, name)) == grpc.StatusCode.INVALID_ARGUMENT
    identifier = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)
    request = execution_pb2.WorkflowExecutionGetRequest(id=identifier)
    assert refused(lambda: backend.admin.GetExecution(request)) == grpc.StatusCode.NOT_FOUND


@rows(6)
@runs(Start("lifecycle.wants_fixed"))
def test_defaults_and_fixed_inputs_are_filled_in(run: Run) -> None:
    assert run.succeed().output == "7/2.5/c"
    assert run.inputs == {"a": 7, "b": 2.5, "c": "c"}


@rows(7)
def test_an_integer_is_no_float(backend: Backend) -> None:
    assert refused(lambda: backend.create("lifecycle.wants", {"a": 1, "b": 2})) == grpc.StatusCode.INVALID_ARGUMENT


@rows(8, 10)
@runs(Start("lifecycle.siblings"))
def test_siblings_of_a_failed_node_are_aborted_and_what_follows_never_begins(run: Run) -> None:
    run.fail()
    assert run.error.code == "USER:RuntimeError"
    assert "first failure" in run.error.message
    assert run.phases() == {"failing": "FAILED", "running": "ABORTED"}
    running = run.node("running")
    assert running.error.code == "NodeAborted"
    assert running.task.phase == "ABORTED"
    assert "end-node" not in run.nodes


@rows(9)
@runs(Start("lifecycle.patient_siblings"))
def test_patient_workflow_lets_all_run_that_can(run: Run) -> None:
    run.fail()
    assert run.phases() == {"failing": "FAILED", "running": "SUCCEEDED", "later": "SUCCEEDED", "after": "SKIPPED"}
    assert run.node("end-node").phase == "SKIPPED"
    assert "first failure" in run.error.message
    assert ended(run.closure) >= ended(run.node("later").closure) - 0.001


@rows(11)
@runs(Start("lifecycle.impatient_outer"))
def test_only_the_topmost_policy_counts(run: Run) -> None:
    run.fail()
    assert run.node("inner").phase == "FAILED"
    inner = {node.spec_id: node.phase for node in run.children("inner").values()}
    assert inner == {"start-node": "SUCCEEDED", "failing": "FAILED", "running": "ABORTED"}


@rows(12)
@runs(Start("lifecycle.cleaned", {"x": 3}))
def test_failure_node_runs_with_the_error_and_does_not_replace_it(run: Run) -> None:
    run.fail()
    assert "needs cleaning" in run.error.message
    handler = run.node("fn0")
    assert handler.phase == "SUCCEEDED"
    assert handler.spec_id == "fn0"
    inputs = handler.inputs
    assert inputs["x"] == 3
    message, _ = inputs["err"]
    assert "needs cleaning" in message
    assert handler.data.full_inputs.literals["err"].scalar.union.type.structure.tag == "FlyteError"
    assert set(run.phases()) == {"failing", "fn0"}
    assert "fn0" in run.synced().node_executions


@rows(13)
@runs(Start("lifecycle.badly_cleaned"))
def test_error_of_the_failure_node_replaces_the_first(run: Run) -> None:
    run.fail()
    assert run.node("fn0").phase == "FAILED"
    assert "the mop broke" in run.error.message


@rows(12)
@runs(Start("lifecycle.cleaned_by_workflow"))
def test_failure_node_may_be_a_workflow(run: Run) -> None:
    run.fail()
    assert "needs a whole workflow" in run.error.message
    assert run.node("fn0").phase == "SUCCEEDED"
    assert set(run.children("fn0")) == {"fn0-0-start-node", "fn0-0-n0", "fn0-0-n1", "fn0-0-end-node"}


@rows(12)
@runs(Start("lifecycle.imperatively_cleaned", {"x": 3}))
def test_failure_node_of_an_imperative_workflow(run: Run) -> None:
    run.fail()
    handler = run.node("efn")
    assert handler.phase == "SUCCEEDED"
    assert handler.inputs["x"] == 3
    assert "needs cleaning" in handler.inputs["err"][0]


@rows(14)
@runs(Start("lifecycle.cleaned_for_ever"))
@differs("Flyte leaves the failure node of an execution that is aborted as it is")
def test_abort_while_a_failure_node_runs_ends_it_too(run: Run) -> None:
    run.running("fn0")
    assert run.phase == "FAILING"
    run.terminate("enough of that")
    run.finish()
    assert run.phase == "ABORTED"
    assert run.phases() == {"n0": "FAILED", "fn0": "ABORTED"}
    assert run.node("fn0").error.code == "NodeAborted"
    assert run.node("fn0").task.phase == "ABORTED"


@rows(14, 15)
@runs(Start("lifecycle.aborted_while_running"))
def test_terminated_execution_is_aborted_without_its_failure_node(run: Run) -> None:
    run.running("n0")
    run.terminate("on second thoughts")
    assert run.phase in ("ABORTING", "ABORTED")
    run.finish()
    assert run.phase == "ABORTED"
    assert run.closure.abort_metadata.cause == "on second thoughts"
    assert run.closure.abort_metadata.principal == run.spec.metadata.principal
    assert run.phases() == {"n0": "ABORTED"}
    assert run.node("n0").error.code == "NodeAborted"
    assert run.node("n0").task.phase == "ABORTED"
    assert refused(run.terminate) == grpc.StatusCode.FAILED_PRECONDITION


@rows(16)
@runs(Start("lifecycle.four_stamps", max_parallelism=1))
def test_no_more_nodes_run_at_once_than_allowed(run: Run) -> None:
    spans = sorted(map(tuple, run.succeed().output))
    assert len(spans) == 4
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


_ALONE = {"flightlog.concurrency/key": "conformance", "flightlog.concurrency/key-max": "1"}


@differs("Flyte has no limits of a user's own")
@runs(
    Start("lifecycle.four_stamps", annotations=_ALONE, max_parallelism=4),
    Start("lifecycle.four_stamps", annotations=_ALONE, max_parallelism=5),
)
def test_executions_with_the_same_key_run_one_after_another(runs: list[Run]) -> None:
    spans = sorted((min(map(min, run.succeed().output)), max(map(max, run.output))) for run in runs)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@rows(17)
@runs(Start("lifecycle.meeting", max_parallelism=1))
def test_a_map_counts_as_one_node(run: Run) -> None:
    assert run.succeed().output == [True, True, True]


@rows(1)
@runs(Start("lifecycle.one", {"x": 2}))
def test_execution_can_be_archived_and_taken_back(run: Run) -> None:
    run.finish()
    for state in (execution_pb2.EXECUTION_ARCHIVED, execution_pb2.EXECUTION_ACTIVE):
        run.backend.admin.UpdateExecution(execution_pb2.ExecutionUpdateRequest(id=run.id, state=state))
        found = run.backend.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=run.id))
        assert found.closure.state_change_details.state == state
        assert found.closure.phase == run.closure.phase
