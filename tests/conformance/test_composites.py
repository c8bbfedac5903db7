"""Part E of the table: dynamic nodes, sub-workflows, launch plans."""

from __future__ import annotations

import re

import pytest
from flyteidl.core.identifier_pb2 import WORKFLOW

from tests.conformance.client import Start
from tests.conformance.runs import Run

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(60)
@runs(Start("dynamics.planned", {"n": 3}))
def test_dynamic_task_runs_the_nodes_it_made(run: Run) -> None:
    assert run.succeed().output == [1, 2, 3]
    node = run.node("n0")
    assert node.metadata.is_dynamic
    assert node.metadata.is_parent_node
    assert node.task.phase == "SUCCEEDED"
    children = run.children("n0")
    assert set(children) == {"n0-0-start-node", "n0-0-dn0", "n0-0-dn1", "n0-0-dn2", "n0-0-end-node"}
    child = children["n0-0-dn1"]
    assert (child.spec_id, child.metadata.retry_group) == ("dn1", "0")
    plan = node.data.dynamic_workflow
    assert plan.id.resource_type == WORKFLOW
    nodes = [one.id for one in plan.compiled_workflow.primary.template.nodes]
    assert {"dn0", "dn1", "dn2"} <= set(nodes)
    synced = run.synced().node_executions["n0"]
    assert synced.subworkflow_node_executions["n0-0-dn2"].outputs["o0"] == 3
    assert synced.outputs["o0"] == [1, 2, 3]


@rows(61)
@runs(Start("dynamics.unplanned"))
def test_dynamic_task_without_nodes_is_an_ordinary_one(run: Run) -> None:
    assert run.succeed().output == 3
    assert run.phases() == {"n0": "SUCCEEDED"}
    assert not run.node("n0").data.dynamic_workflow.HasField("compiled_workflow")


@rows(62)
@runs(Start("dynamics.failing_child"))
def test_failed_child_fails_the_dynamic_node_for_good(run: Run) -> None:
    run.fail()
    assert "a child broke" in run.error.message
    assert len(run.node("n0").tasks) == 1
    assert run.node("n0").error.code == "USER:RuntimeError"
    assert run.children("n0")["n0-0-dn0"].phase == "FAILED"


@rows(62)
@runs(Start("dynamics.failing_plan"))
def test_dynamic_task_may_fail_itself(run: Run) -> None:
    run.fail()
    assert "the plan broke" in run.error.message
    assert run.phases() == {"n0": "FAILED"}


@rows(60)
@runs(Start("dynamics.all_kinds"))
def test_dynamic_task_may_make_nodes_of_all_kinds(run: Run) -> None:
    assert run.succeed().output == [12, 12, 12, 11]
    children = {node.spec_id: node for node in run.children("n0").values()}
    kinds = {
        "array": [node for node in children.values() if node.metadata.is_array],
        "dynamic": [node for node in children.values() if node.metadata.is_dynamic],
        "launch plan": [node for node in children.values() if node.closure.HasField("workflow_node_metadata")],
    }
    assert {kind: len(found) for kind, found in kinds.items()} == {"array": 1, "dynamic": 1, "launch plan": 1}
    assert run.synced().is_successful


@rows(63)
@runs(Start("subworkflows.outer"))
def test_sub_workflow_shows_its_nodes(run: Run) -> None:
    assert run.succeed().output == 4
    node = run.node("n0")
    assert node.metadata.is_parent_node
    assert node.tasks == []
    assert set(run.children("n0")) == {"n0-0-start-node", "n0-0-n0", "n0-0-n1", "n0-0-end-node"}
    assert run.children("n0")["n0-0-n0"].metadata.retry_group == "0"


@rows(64)
@runs(Start("subworkflows.cleaned_outer"))
def test_failure_node_of_a_sub_workflow_runs_inside(run: Run) -> None:
    run.fail()
    children = {key: node.phase for key, node in run.children("n0").items()}
    assert children == {"n0-0-start-node": "SUCCEEDED", "n0-0-n0": "FAILED", "n0-0-fn0": "SUCCEEDED"}
    assert run.node("n0").phase == "FAILED"
    assert "the inner node broke" in run.error.message


@rows(63, 69, 87)
@runs(Start("subworkflows.three_deep"), Start("dynamics.deep"))
def test_deep_nodes_have_short_ids_and_only_parents_list_them(runs: list[Run]) -> None:
    for run in runs:
        run.succeed()
        assert all(len(node.id) <= 20 for node in run.nodes.values() if node.metadata.retry_group)
        top = run.children("")
        assert all(not node.metadata.retry_group for node in top.values())
        assert len(run.nodes) > len(top)
        assert run.synced().is_successful
    assert [run.output for run in runs] == [5, 2]


@rows(65)
@runs(Start("launch_plans.parent"))
def test_launch_plan_node_is_an_execution_of_its_own(run: Run) -> None:
    assert run.succeed().output == 7
    node = run.node("n0")
    child = run.backend.run(node.closure.workflow_node_metadata.executionId.name).finish()
    assert re.fullmatch(r"f[a-z1-6]{13}", child.name)
    metadata = child.spec.metadata
    assert metadata.mode == 4, "CHILD_WORKFLOW"
    assert metadata.nesting == 1
    assert metadata.principal == run.spec.metadata.principal
    assert metadata.parent_node_execution == node.row.id
    assert child.outputs == {"o0": 6}
    assert node.outputs == {"o0": 6}
    assert node.tasks == []
    synced = run.synced().node_executions["n0"]
    assert synced.workflow_executions[0].id.name == child.name


@rows(66)
@runs(Start("launch_plans.parent_of_broken"))
def test_failed_child_execution_fails_the_node_with_its_error(run: Run) -> None:
    run.fail()
    child = run.backend.run(run.node("n0").closure.workflow_node_metadata.executionId.name)
    assert child.phase == "FAILED"
    assert "the child broke" in run.error.message
    assert run.error.code == child.error.code == "USER:RuntimeError"


def child_of(run: Run) -> Run:
    """The child execution of n0, once its task runs."""

    def found() -> str:
        node = run.children("").get("n0")
        return node.closure.workflow_node_metadata.executionId.name if node is not None else ""

    child = run.backend.run(run.until(found, "there is a child execution"))
    child.running("n0")
    return child


@rows(66)
@runs(Start("launch_plans.parent_of_blocked"))
def test_aborted_child_execution_fails_the_node(run: Run) -> None:
    child = child_of(run)
    child.terminate("no more of this")
    run.fail()
    assert child.finish().phase == "ABORTED"
    assert (run.error.code, run.error.kind) == ("RemoteChildWorkflowExecutionFailed", 1)


@rows(67)
@runs(Start("launch_plans.parent_of_blocked", {"x": 2}))
def test_children_of_a_terminated_execution_are_aborted(run: Run) -> None:
    child = child_of(run)
    run.terminate("enough of both")
    assert run.finish().phase == "ABORTED"
    assert child.finish().phase == "ABORTED"
    assert run.name in child.closure.abort_metadata.cause


@rows(68)
@runs(
    Start(
        "launch_plans.parent_of_greeting",
        labels={"team": "red"},
        annotations={"note": "passed on"},
        max_parallelism=7,
        arguments={"envs": {"GREETING": "from above"}, "overwrite_cache": True, "interruptible": True},
    )
)
def test_child_execution_inherits_what_its_parent_was_given(run: Run) -> None:
    assert run.succeed().output == "from above"
    spec = run.backend.run(run.node("n0").closure.workflow_node_metadata.executionId.name).spec
    assert spec.labels.values["team"] == "red"
    assert spec.annotations.values["note"] == "passed on"
    assert spec.overwrite_cache
    assert spec.interruptible.value
    assert spec.max_parallelism == 7
    assert [(pair.key, pair.value) for pair in spec.envs.values] == [("GREETING", "from above")]


@rows(65)
@runs(Start("launch_plans.two_children"))
def test_nodes_of_the_same_launch_plan_are_different_executions(run: Run) -> None:
    assert run.succeed().outputs == {"o0": 2, "o1": 3}
    names = {run.node(key).closure.workflow_node_metadata.executionId.name for key in ("n0", "n1")}
    assert len(names) == 2
