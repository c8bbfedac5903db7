"""Gate nodes: what they wait for, who lets them go on, and for how long they wait."""

import pytest
from flyteidl.core import types_pb2
from flyteidl.core.literals_pb2 import Literal
from flyteidl.core.types_pb2 import LiteralType

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, MORNING, WORKFLOW_DIR, Flow, From, Story, literal, when


def started(flow: Flow, **options: object) -> Story:
    story = Story(flow, {"x": 10}, **options)  # type: ignore[arg-type]
    story.start()
    return story


def refused(story: Story, command: engine.Command) -> engine.Refused:
    before = len(story.history)
    with pytest.raises(engine.Refused) as caught:
        story.does(command)
    assert len(story.history) == before
    return caught.value


def asking(**options: object) -> Flow:
    return Flow().waits("n0", "value", **options).returns(o0=From("n0"))  # type: ignore[arg-type]


def test_a_gate_waits_for_its_signal_and_gives_its_value() -> None:
    story = Story(asking(), {"x": 10})
    assert story.start()[3:] == ["NodeQueued n0", "NodeStarted n0", "SignalAwaited n0"]
    awaited = story.last(facts.SignalAwaited)
    assert (awaited.signal_id, awaited.type.simple) == ("value", types_pb2.INTEGER)
    assert story.sets("value", 41)[:2] == ["SignalSet", "NodeSucceeded n0"]
    assert story.last(facts.SignalSet).principal == "user"
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"
    assert story.outputs() == {"o0": 41}


def test_an_approved_gate_gives_its_inputs() -> None:
    story = started(Flow().approves("n0", "ok", INPUT).returns(o0=From("n0")))
    assert story.last(facts.SignalAwaited).type.simple == types_pb2.BOOLEAN
    story.sets("ok", True)
    assert story.outputs() == {"o0": 10}


def test_a_rejected_gate_fails() -> None:
    story = started(Flow().approves("n0", "ok", INPUT, node_retries=2))
    story.sets("ok", False)
    assert (story.error().code, story.error().kind) == ("ReceivedRejectSignal", story.error().USER)
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "FAILED"}


def test_a_gate_that_sleeps_has_no_outputs() -> None:
    story = started(Flow().sleeps("n0", 90.5).task("n1", after=["n0"]))
    due = story.last(facts.TimerSet, timer_id="n0/0/sleep").due
    assert due.ToDatetime().timestamp() - MORNING.replace(tzinfo=None).timestamp() == 90.5
    assert story.fire("n0/0/sleep")[0] == "NodeSucceeded n0"
    assert not story.last(facts.NodeSucceeded, node_id="n0").HasField("outputs")
    assert story.phases()["n1"] == "RUNNING"
    assert story.fire("n0/0/sleep") == []


def test_what_sleeps_longer_than_its_timeout_sleeps_on() -> None:
    story = started(Flow().sleeps("n0", 7200, timeout=3600))
    assert [fact.timer_id for fact in story.history if isinstance(fact, facts.TimerSet)] == ["n0/0/sleep"]


def test_gates_take_no_places() -> None:
    story = started(Flow().waits("n0", "a").sleeps("n1", 60).approves("n2", "b", INPUT).task("n3"), parallelism=1)
    assert set(story.phases().values()) == {"SUCCEEDED", "RUNNING"}


# ---------------------------------------------------------------------------------------------------- signals


def test_gates_with_one_signal_share_its_value() -> None:
    flow = Flow().waits("n0", "s").waits("n1", "s").waits("n2", "s", after=["n0"]).returns(o0=From("n2"))
    story = started(flow)
    assert "NodeSucceeded n2" in story.sets("s", 3)
    assert story.outputs() == {"o0": 3}


def test_a_signal_may_be_set_again_before_another_gate_asks_for_it() -> None:
    story = started(Flow().waits("n0", "s").task("n1", {"a": From("n0")}).waits("n2", "s", after=["n1"]))
    story.sets("s", 3)
    assert story.sets("s", 4) == ["SignalSet"]
    assert story.data(story.last(facts.NodeSucceeded, node_id="n0").outputs) == {"o0": 3}
    story.succeeds("n1")
    assert story.data(story.last(facts.NodeSucceeded, node_id="n2").outputs) == {"o0": 4}


def test_a_signal_can_be_made_known_before_a_gate_asks_for_it() -> None:
    story = started(Flow().task("n0").waits("n1", "s", after=["n0"]).returns(o0=From("n1")))
    await_it = engine.AwaitSignal("s", LiteralType(simple=types_pb2.INTEGER))
    assert story.does(await_it) == ["SignalAwaited"]
    assert story.does(await_it) == []
    text = engine.AwaitSignal("s", LiteralType(simple=types_pb2.STRING))
    assert refused(story, text).reason is engine.Refusal.WRONG_TYPE
    story.sets("s", 5)
    story.succeeds("n0")
    assert story.outputs() == {"o0": 5}


def test_a_signal_that_nobody_asked_for_is_refused() -> None:
    story = started(Flow().task("n0").waits("n1", "s", after=["n0"]))
    for signal_id in ("s", ""):
        error = refused(story, engine.SetSignal(signal_id, literal(1), "user"))
        assert error.reason is engine.Refusal.UNKNOWN_SIGNAL


@pytest.mark.parametrize("value", ["text", 1.0, True, None, [1], Literal()])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    story = started(asking())
    error = refused(story, engine.SetSignal("value", literal(value), "user"))
    assert (error.reason, error.detail) == (engine.Refusal.WRONG_TYPE, "simple:INTEGER")
    assert story.node("n0").phase.name == "RUNNING"


def test_a_value_may_be_one_of_a_union() -> None:
    flow = asking()
    optional = flow.nodes[0].gate_node.signal.type.union_type
    optional.variants.add(simple=types_pb2.INTEGER).structure.tag = "int"
    optional.variants.add(simple=types_pb2.NONE).structure.tag = "none"
    for value in (3, None):
        story = started(flow)
        story.sets("value", value)
        assert story.outputs() == {"o0": value}
    assert refused(started(flow), engine.SetSignal("value", literal("x"), "user")).reason is engine.Refusal.WRONG_TYPE


def test_approval_may_come_as_a_value_of_a_union() -> None:
    value = Literal()
    value.scalar.union.value.CopyFrom(literal(True))
    value.scalar.union.type.simple = types_pb2.BOOLEAN
    story = started(Flow().approves("n0", "ok", INPUT))
    story.sets("ok", value)
    assert story.phase == "SUCCEEDED"


def test_one_signal_has_one_type() -> None:
    story = started(Flow().waits("n0", "s").waits("n1", "s", simple=types_pb2.STRING, after=["n0"]))
    story.sets("s", 1)
    assert (story.error().code, story.error().kind) == ("BadSpecificationError", story.error().USER)
    assert (
        story.error().message == "signal [s] of this execution is of type [simple:INTEGER], not of type [simple:STRING]"
    )


def test_a_signal_can_be_set_when_all_is_over() -> None:
    story = started(asking())
    story.terminate()
    assert story.phases()["n0"] == "ABORTED"
    assert story.sets("value", 3) == ["SignalSet"]
    assert story.phase == "ABORTED"


def test_a_signal_of_no_execution_is_refused() -> None:
    program = engine.Program.parse(asking().closure())
    with pytest.raises(engine.Refused) as caught:
        engine.decide(None, engine.SetSignal("value", literal(1), "user"), engine.Context(MORNING, program))
    assert caught.value.reason is engine.Refusal.NOT_FOUND


# ---------------------------------------------------------------------------------------------------- ends


def test_a_gate_that_waits_too_long_fails() -> None:
    story = started(asking(timeout=60))
    story.fire("n0/0/attempt")
    assert story.phases()["n0"] == "FAILED"
    assert (story.error().code, story.error().kind) == ("RetriesExhausted|TimeoutExpired", story.error().USER)
    assert story.sets("value", 1) == ["SignalSet"]


def test_a_gate_with_retries_waits_again() -> None:
    settings = engine.EngineSettings()
    story = started(asking(timeout=60, node_retries=1), settings=settings)
    assert story.fire("n0/0/attempt") == ["RetryScheduled n0#1", "TimerSet n0/1/retry"]
    assert story.fire("n0/0/attempt") == []
    assert story.fire("n0/1/retry") == ["TimerSet n0/1/attempt", "SignalAwaited n0"]
    assert story.fire("n0/1/retry") == []
    assert story.state is not None
    assert story.state.signals["value"].gates == ("n0",)
    story.sets("value", 2)
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/1/outputs.pb"
    assert story.outputs() == {"o0": 2}


def test_a_gate_between_two_attempts_takes_its_value() -> None:
    story = started(asking(timeout=60, node_retries=1), settings=engine.EngineSettings())
    story.fire("n0/0/attempt")
    story.sets("value", 2)
    assert story.fire("n0/1/retry") == []
    assert story.outputs() == {"o0": 2}


def test_a_gate_that_lasts_twice_its_timeout_times_out() -> None:
    story = started(asking(timeout=60, node_retries=9))
    story.fire("n0/0/node")
    assert story.phases()["n0"] == "TIMED_OUT"
    assert story.error().code == "Timeout"


def test_gates_end_with_their_execution() -> None:
    story = started(Flow().task("n0").waits("n1", "s").sleeps("n2", 60).approves("n3", "ok", INPUT))
    story.fails("n0")
    assert story.phases() == {
        "start-node": "SUCCEEDED", "n0": "FAILED", "n1": "ABORTED", "n2": "ABORTED", "n3": "ABORTED",
    }  # fmt: skip
    assert story.fire("n2/0/sleep") == []


def test_no_gate_opens_while_all_is_being_stopped() -> None:
    inner = Flow("inner").waits("n0", "s").task("n1")
    story = started(Flow().sub("n0", inner).task("n1").task("n2"))
    story.fails("n1")
    assert story.sets("s", 1) == ["SignalSet"]


def test_a_gate_in_a_workflow_that_is_tried_again_takes_the_value_that_is_there() -> None:
    inner = Flow("inner").waits("n0", "s").task("n1", {"a": From("n0")}).returns(o0=From("n1"))
    story = started(Flow().sub("n0", inner, timeout=60, node_retries=1).returns(o0=From("n0")))
    story.sets("s", 4)
    story.fire("n0/0/attempt")
    story.sees("n0-0-n1", "KILLED")
    assert story.data(story.last(facts.NodeSucceeded, node_id="n0-1-n0").outputs) == {"o0": 4}
    story.succeeds("n0-1-n1", outputs={"o0": 5})
    assert story.outputs() == {"o0": 5}


@pytest.mark.parametrize("signal", ["value", "ok"])
def test_a_gate_may_be_an_arm_of_a_branch(signal: str) -> None:
    arms = Flow("arms")
    arms = arms.waits("n0", "value") if signal == "value" else arms.approves("n0", "ok", INPUT)
    story = started(Flow().branch("n0", (when(INPUT, "EQ", 10), arms), otherwise="no").returns(o0=From("n0")))
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "RUNNING", "n0-0-n0-n0": "RUNNING"}
    story.sets(signal, 41 if signal == "value" else True)
    assert story.outputs() == {"o0": 41 if signal == "value" else 10}


def test_a_gate_of_an_unknown_kind_stops_the_execution() -> None:
    flow = Flow().waits("n0", "s").task("n1")
    flow.nodes[0].gate_node.ClearField("condition")
    story = started(flow)
    assert story.phase in ("FAILING", "FAILED")
    assert story.last(facts.ExecutionFailing).error.code == "BadSpecificationError"


def test_a_gate_is_not_opened_that_a_failure_of_the_same_moment_has_ended() -> None:
    story = started(Flow().waits("n0", "s").sleeps("n1", 5).task("n2", {"a": From("", "gone")}))
    assert story.error().code == "BindingResolutionFailure"
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "ABORTED", "n1": "ABORTED", "n2": "FAILED"}
    assert not story.has(facts.NodeStarted)
    assert not story.has(facts.SignalAwaited)
