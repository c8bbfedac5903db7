"""Executions whose program or data cannot be had: they end, and say why; nothing is left waiting for ever."""

import pytest
from flyteidl.admin.execution_pb2 import EXECUTION_ARCHIVED
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from google.protobuf.duration_pb2 import Duration

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import Flow, From, Story

BROKEN = engine.Program.unrunnable("the closure is lost")


def test_execution_whose_program_cannot_be_had_fails_when_it_is_to_start() -> None:
    story = Story(Flow().task("n0"))
    story.program = BROKEN
    assert story.start() == ["ExecutionFailing BadSpecificationError", "ExecutionFailed BadSpecificationError"]
    assert story.error().message == "the closure is lost"
    assert story.start() == []


def test_execution_that_loses_its_program_stops_what_runs_and_fails() -> None:
    story = Story(Flow().task("n0").task("n1"))
    story.start()
    story.program = BROKEN
    assert story.succeeds("n0") == [
        "ExecutionFailing BadSpecificationError",
        "AttemptAborting n0#0",
        "AttemptAborting n1#0",
        "AttemptAborted n0#0",
        "NodeAborted n0 NodeAborted",
    ]
    assert story.sees("n1", "KILLED") == [
        "AttemptAborted n1#0",
        "NodeAborted n1 NodeAborted",
        "ExecutionFailed BadSpecificationError",
    ]


def test_execution_without_a_program_can_be_terminated() -> None:
    story = Story(Flow().task("n0").sub("n1", Flow("inner").task("deep")))
    story.start()
    story.program = BROKEN
    story.terminate()
    story.sees("n0", "KILLED")
    story.sees("n1-0-deep", "KILLED")
    assert story.phase == "ABORTED"


def test_execution_without_a_program_can_be_archived() -> None:
    story = Story(Flow().task("n0"))
    story.program = BROKEN
    assert story.does(engine.ChangeState(EXECUTION_ARCHIVED, "user")) == ["ExecutionStateChanged"]


def test_lost_inputs_fail_the_execution() -> None:
    story = Story(Flow().task("n0"))
    assert story.state is not None
    uri = story.state.created.inputs.uri
    story.lost[uri] = "it does not exist"
    story.start()
    assert story.phase == "FAILED"
    assert story.error().code == "BindingResolutionFailure"
    assert story.error().message == f"[{uri}] cannot be read: it does not exist"


def test_lost_outputs_of_an_earlier_node_fail_the_execution_and_stop_the_rest() -> None:
    story = Story(Flow().task("a").task("b").task("c", {"x": From("a"), "y": From("b")}).task("d"))
    story.start()
    story.succeeds("a")
    story.lost[story.last(facts.NodeSucceeded, node_id="a").outputs.uri] = "it does not exist"
    story.succeeds("b")
    assert story.phase == "FAILING"
    story.sees("d", "KILLED")
    assert story.phase == "FAILED"
    assert story.error().code == "BindingResolutionFailure"


@pytest.mark.parametrize("seconds", [2**62, 315_576_000_000, -(2**62)])
def test_absurd_timeouts_are_far_away_deadlines_or_none(seconds: int) -> None:
    closure = CompiledWorkflowClosure()
    closure.CopyFrom(Flow().task("n0").closure())
    closure.primary.template.nodes[2].metadata.timeout.CopyFrom(Duration(seconds=seconds, nanos=999_999_999))
    story = Story(closure)
    story.start()
    assert story.phases()["n0"] == "RUNNING"
    assert story.has(facts.TimerSet) == (seconds > 0)
