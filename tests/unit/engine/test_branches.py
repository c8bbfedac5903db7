"""Branch nodes: which arm runs, what becomes of it, and what nodes around it see."""

import pytest

from flightlog_protos.execution.v1 import facts_pb2 as facts
from tests.unit.engine.story import INPUT, WORKFLOW_DIR, Flow, From, Story, when

BELOW, TEN = when(INPUT, "LT", 0), when(INPUT, "EQ", 10)


def arm(name: str, source: object = INPUT, **options: object) -> Flow:
    return Flow("arms").task(name, {"a": source}, **options)  # type: ignore[arg-type]


def sized(**options: object) -> Flow:
    """x < 0: n0, x == 10: n1, else n2."""
    flow = Flow().branch("n0", (BELOW, arm("n0")), (TEN, arm("n1")), otherwise=arm("n2"), **options)  # type: ignore[arg-type]
    return flow.task("n1", {"a": From("n0")}).returns(o0=From("n1"))


def started(flow: Flow, x: object = 10, **options: object) -> Story:
    story = Story(flow, {"x": x}, **options)  # type: ignore[arg-type]
    story.start()
    return story


def test_the_arm_of_the_first_true_condition_runs_as_the_branches_child() -> None:
    story = Story(sized(), {"x": 10})
    assert story.start()[3:] == [
        "NodeQueued n0",
        "NodeStarted n0",
        "BranchTaken n0",
        "NodeQueued n0-0-n0-n1",
        "AttemptScheduled n0-0-n0-n1#0",
        "NodeStarted n0-0-n0-n1",
    ]
    assert story.succeeds("n0-0-n0-n1", outputs={"o0": 7, "o1": 8})[1:] == [
        "NodeSucceeded n0-0-n0-n1",
        "NodeSucceeded n0",
        "NodeQueued n1",
        "AttemptScheduled n1#0",
        "NodeStarted n1",
    ]
    assert story.data(story.last(facts.NodeQueued, node_id="n1").inputs) == {"a": 7}
    story.succeeds("n1", outputs={"o0": 9})
    assert story.outputs() == {"o0": 9}


def test_names_and_places_of_a_branch_and_its_arm() -> None:
    story = started(sized())
    branch = story.last(facts.NodeQueued, node_id="n0")
    assert (branch.kind, branch.is_parent) == (facts.BRANCH, True)
    assert story.data(branch.inputs) == {".x": 10}
    taken = story.last(facts.BranchTaken)
    assert (taken.spec_node_id, taken.case) == ("n0-n1", 1)
    child = story.last(facts.NodeQueued, node_id="n0-0-n0-n1")
    assert (child.parent_node_id, child.retry_group, child.spec_node_id) == ("n0", "0", "n0-n1")
    assert child.inputs.uri == f"{WORKFLOW_DIR}/n0/data/0/n0-n1/inputs.pb"
    assert story.data(child.inputs) == {"a": 10}
    story.succeeds("n0-0-n0-n1", outputs={"o0": 7, "o1": 8})
    outputs = story.last(facts.NodeSucceeded, node_id="n0").outputs
    assert outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"
    assert story.data(outputs) == {"o0": 7, "o1": 8}


@pytest.mark.parametrize(("x", "taken", "case"), [(-1, "n0-n0", 0), (10, "n0-n1", 1), (3, "n0-n2", None)])
def test_arms_that_are_not_taken_leave_no_trace(x: int, taken: str, case: int | None) -> None:
    story = started(sized(), x)
    assert set(story.phases()) == {"start-node", "n0", f"n0-0-{taken}"}
    fact = story.last(facts.BranchTaken)
    assert (fact.case if fact.HasField("case") else None) == case


def test_later_conditions_are_not_evaluated() -> None:
    flow = Flow().branch("n0", (BELOW, arm("n0")), (when(INPUT, "EQ", "text"), arm("n1")), otherwise=arm("n2"))
    assert "n0-0-n0-n0" in started(flow, -1).phases()
    assert started(flow, 1).error().code == "MalformedBranchUserError"


def test_an_else_that_fails_says_its_message() -> None:
    story = started(Flow().branch("n0", (BELOW, arm("n0")), otherwise="neither"), 1)
    assert (story.error().code, story.error().message) == ("UserProvidedError", "neither")
    assert story.error().kind == story.error().USER
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "FAILED"}


def test_a_branch_without_else_in_which_nothing_is_true() -> None:
    story = started(Flow().branch("n0", (BELOW, arm("n0"))), 1)
    assert (story.error().code, story.error().kind) == ("MalformedBranchUserError", story.error().USER)


def test_a_condition_that_cannot_be_evaluated_fails_the_branch() -> None:
    story = started(sized(), 2.5)
    assert story.error().code == "MalformedBranchUserError"
    assert story.error().message == "values of different types cannot be compared: float and integer"


@pytest.mark.parametrize("after", [False, True])
def test_a_failing_arm_fails_the_branch_with_its_error(after: bool) -> None:
    story = started(sized().fails_after() if after else sized())
    story.fails("n0-0-n0-n1", code="USER:Boom", message="the arm broke")
    assert (story.error().code, story.error().message) == ("USER:Boom", "the arm broke")
    skipped = {"n1": "SKIPPED", "end-node": "SKIPPED"} if after else {}
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "FAILED", "n0-0-n0-n1": "FAILED"} | skipped
    assert story.last(facts.NodeFailed, node_id="n0").error.message == "the arm broke"


def test_an_arm_is_retried_within_its_branch() -> None:
    story = started(Flow().branch("n0", (TEN, arm("n0", retries=1)), otherwise="no").returns(o0=From("n0")))
    story.fails("n0-0-n0-n0", recoverable=True)
    assert story.node("n0").phase.name == "RUNNING"
    story.succeeds("n0-0-n0-n0", attempt=1, outputs={"o0": 5})
    assert story.outputs() == {"o0": 5}


def test_a_branch_is_aborted_with_its_arm() -> None:
    story = started(sized())
    assert story.terminate()[1:] == ["AttemptAborting n0-0-n0-n1#0"]
    story.sees("n0-0-n0-n1", "KILLED")
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "ABORTED", "n0-0-n0-n1": "ABORTED"}
    assert story.phase == "ABORTED"


def test_a_branch_that_takes_too_long_is_tried_again_with_an_arm_of_its_own() -> None:
    story = started(sized(timeout=10, node_retries=1))
    story.fire("n0/0/attempt")
    story.sees("n0-0-n0-n1", "KILLED")
    assert story.phases()["n0-1-n0-n1"] == "RUNNING"
    story.succeeds("n0-1-n0-n1", outputs={"o0": 3})
    assert story.data(story.last(facts.NodeQueued, node_id="n1").inputs) == {"a": 3}
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/1/outputs.pb"


# ---------------------------------------------------------------------------------------------------- kinds of arms


def test_an_arm_may_be_a_branch() -> None:
    inner = Flow("arms").branch("n1", (when(From("n9"), "GT", 3), arm("n0", From("n9"))), otherwise="small")
    flow = Flow().task("n9").branch("n0", (when(INPUT, "EQ", 10), inner), otherwise="no").returns(o0=From("n0"))
    story = started(flow)
    story.succeeds("n9", outputs={"o0": 4})
    queued = [fact.spec_node_id for fact in story.history if isinstance(fact, facts.NodeQueued)]
    assert queued[:5] == ["start-node", "n0", "n9", "n0-n1", "n0-n1-n0"]
    leaf = story.last(facts.NodeQueued, spec_node_id="n0-n1-n0")
    middle = story.last(facts.NodeQueued, spec_node_id="n0-n1")
    assert (middle.parent_node_id, leaf.parent_node_id) == ("n0", middle.node_id)
    assert story.data(leaf.inputs) == {"a": 4}
    story.succeeds(leaf.node_id, outputs={"o0": 6})
    assert story.outputs() == {"o0": 6}
    failed = started(flow)
    failed.succeeds("n9", outputs={"o0": 1})
    assert failed.error().message == "small"
    assert failed.phases()["n0"] == "FAILED"


def test_an_arm_may_be_a_workflow_with_a_branch_in_it() -> None:
    deep = Flow("deep").branch("n0", (BELOW, arm("n0")), otherwise=arm("n1", 5)).returns(o0=From("n0"))
    flow = Flow().branch("n0", (TEN, Flow("arms").sub("n0", deep, {"x": INPUT})), otherwise="no").returns(o0=From("n0"))
    story = started(flow)
    leaf = story.last(facts.NodeQueued, spec_node_id="n0-n1")
    assert story.data(leaf.inputs) == {"a": 5}
    story.succeeds(leaf.node_id, outputs={"o0": 6})
    assert story.outputs() == {"o0": 6}


def test_an_arm_may_be_run_by_the_engine() -> None:
    flow = Flow().branch("n0", (TEN, Flow("arms").echo("n0")), otherwise="no").returns(o0=From("n0"))
    assert started(flow).outputs() == {"o0": 10}


def test_an_arm_without_outputs_gives_the_branch_none() -> None:
    flow = Flow().branch("n0", (TEN, Flow("arms").sleeps("n0", 5)), otherwise="no").task("n1", after=["n0"])
    story = started(flow)
    story.fire("n0-0-n0-n0/0/sleep")
    assert not story.last(facts.NodeSucceeded, node_id="n0").HasField("outputs")
    assert story.phases()["n1"] == "RUNNING"


def test_a_branch_in_a_dynamic_node() -> None:
    asked = (
        Flow("asked").task("dn0").branch("dn1", (when(From("dn0"), "GT", 3), arm("n0", From("dn0"))), otherwise="no")
    )
    story = started(Flow().task("n0").returns(o0=From("n0")))
    story.asks("n0", asked.returns(o0=From("dn1")))
    story.succeeds("n0-0-dn0", outputs={"o0": 4})
    leaf = story.last(facts.NodeQueued, spec_node_id="dn1-n0")
    assert story.data(leaf.inputs) == {"a": 4}
    story.succeeds(leaf.node_id, outputs={"o0": 6})
    assert story.outputs() == {"o0": 6}


# ---------------------------------------------------------------------------------------------------- waiting arms


def waiting() -> Flow:
    """The conditions need nothing but the input; an arm also takes what n9 gives, the other one does not."""
    flow = Flow().task("n9").branch("n0", (TEN, arm("n0", From("n9"))), otherwise=arm("n1"))
    return flow.task("n1", {"a": From("n0")}).returns(o0=From("n1"))


def test_a_taken_arm_waits_for_what_it_takes() -> None:
    story = started(waiting())
    assert story.phases() == {"start-node": "SUCCEEDED", "n9": "RUNNING", "n0": "RUNNING"}
    assert story.succeeds("n9", outputs={"o0": 4})[2:] == [
        "NodeQueued n0-0-n0-n0",
        "AttemptScheduled n0-0-n0-n0#0",
        "NodeStarted n0-0-n0-n0",
    ]
    assert story.data(story.last(facts.NodeQueued, node_id="n0-0-n0-n0").inputs) == {"a": 4}


def test_a_branch_waits_for_nothing_that_only_another_arm_takes() -> None:
    story = started(waiting(), 1)
    story.succeeds("n0-0-n0-n1")
    assert story.phases()["n1"] == "RUNNING"


def test_an_arm_of_an_arm_waits_for_what_it_takes() -> None:
    inner = Flow("arms").branch("n1", (TEN, arm("n0", From("n9"))), otherwise="no")
    story = started(Flow().task("n9").branch("n0", (TEN, inner), otherwise="no").returns(o0=From("n0")))
    assert set(story.phases()) == {"start-node", "n9", "n0", "n0-0-n0-n1"}
    story.succeeds("n9", outputs={"o0": 4})
    leaf = story.last(facts.NodeQueued, spec_node_id="n0-n1-n0")
    story.succeeds(leaf.node_id, outputs={"o0": 6})
    assert story.outputs() == {"o0": 6}


def test_an_arm_that_comes_after_another_node_waits_for_it() -> None:
    story = started(Flow().task("n9").branch("n0", (TEN, arm("n0", after=["n9"])), otherwise="no"))
    assert "n0-0-n0-n0" not in story.phases()
    story.succeeds("n9")
    assert story.phases()["n0-0-n0-n0"] == "RUNNING"


def test_an_arm_whose_input_can_never_be_had_is_skipped_and_its_branch_fails() -> None:
    inner = Flow("arms").branch("n1", (TEN, arm("n0", From("n8"))), otherwise="no")
    flow = Flow().task("n9").task("n8", {"a": From("n9")}).branch("n0", (TEN, inner), otherwise="no")
    story = started(flow.task("n1", {"a": From("n0")}).fails_after())
    story.fails("n9", code="USER:Boom")
    leaf = story.last(facts.NodeSkipped, spec_node_id="n0-n1-n0")
    assert story.phases() == {
        "start-node": "SUCCEEDED", "n9": "FAILED", "n8": "SKIPPED", "n0": "FAILED", "n0-0-n0-n1": "FAILED",
        leaf.node_id: "SKIPPED", "n1": "SKIPPED", "end-node": "SKIPPED",
    }  # fmt: skip
    assert story.error().code == "USER:Boom"


def test_a_branch_that_waits_ends_with_the_execution() -> None:
    story = started(waiting())
    story.terminate()
    story.sees("n9", "KILLED")
    assert story.phases() == {"start-node": "SUCCEEDED", "n9": "ABORTED", "n0": "ABORTED"}


def test_a_branch_that_waits_too_long_fails() -> None:
    flow = Flow().task("n9").branch("n0", (TEN, arm("n0", From("n9"))), otherwise="no", timeout=10)
    story = started(flow)
    story.fire("n0/0/attempt")
    story.sees("n9", "KILLED")
    assert story.error().code == "RetriesExhausted|TimeoutExpired"


def test_an_arm_may_be_a_launch_plan_or_a_map() -> None:
    arms = Flow("arms").launches("n0", {"x": INPUT}), Flow("arms").map("n1", {"a": [INPUT, 7]})
    flow = Flow().branch("n0", (TEN, arms[0]), otherwise=arms[1]).returns(o0=From("n0"))
    story = started(flow, 10)
    story.child_succeeds("n0-0-n0-n0", outputs={"o0": 6})
    assert story.outputs() == {"o0": 6}
    failed = started(flow, 10)
    failed.child_fails("n0-0-n0-n0", code="USER:Boom")
    assert (failed.phases()["n0"], failed.error().code) == ("FAILED", "USER:Boom")
    mapped = started(flow, 1)
    elements = [fact.node_id for fact in mapped.history if isinstance(fact, facts.AttemptScheduled)]
    assert len(elements) == 2
    for number, node_id in enumerate(elements):
        mapped.succeeds(node_id, outputs={"o0": number})
    assert mapped.outputs() == {"o0": [0, 1]}
