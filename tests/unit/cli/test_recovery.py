"""What `flightlog recover --dry-run` says of an execution's nodes."""

from __future__ import annotations

from flightlog_cli.recovery import outputs_of, steps
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, NAME, Flow, From, Story


def told(story: Story, gone: tuple[str, ...] = ()) -> dict[str, str]:
    return {step.path: step.does for step in steps(engine.recovery_plan(story.history), gone)}


def started(flow: Flow) -> Story:
    story = Story(flow, {"x": 10})
    story.start()
    return story


def test_what_succeeded_is_reused_and_what_failed_runs() -> None:
    story = started(Flow().task("n0").task("n1", after=["n0"]).task("n2", after=["n1"]))
    story.succeeds("n0")
    story.fails("n1")
    reused, runs = steps(engine.recovery_plan(story.history))
    assert (reused.path, reused.does, NAME in reused.why) == ("n0", "reused", True)
    left = story.last(facts.AttemptScheduled, node_id="n1").checkpoint_prefix
    assert (runs.path, runs.does) == ("n1", "runs")
    assert runs.why == f"FAILED with USER:Boom; it finds the checkpoint at {left}"


def test_what_is_gone_runs() -> None:
    story = started(Flow().task("n0").task("n1", after=["n0"]))
    story.succeeds("n0")
    story.fails("n1")
    (uri,) = outputs_of(engine.recovery_plan(story.history))
    assert told(story, (uri,)) == {"n0": "runs", "n1": "runs"}


def test_nodes_within_what_is_reused_are_left_out() -> None:
    inner = Flow("inner").task("n0", {"a": INPUT}).task("n1").returns(o0=From("n0"))
    flow = Flow().sub("n0", inner, {"x": INPUT}).sub("n1", inner, {"x": INPUT}, after=["n0"])
    story = started(flow)
    story.succeeds("n0-0-n0")
    story.succeeds("n0-0-n1")
    story.succeeds("n1-0-n1")
    story.fails("n1-0-n0")
    assert told(story) == {"n0": "reused", "n1": "goes on", "n1/n0": "runs", "n1/n1": "reused"}


def test_elements_come_in_the_order_of_their_indexes() -> None:
    story = started(Flow().map("n0", {"a": list(range(11))}))
    for index in range(10):
        story.succeeds(f"n0-0-n{index}")
    story.fails("n0-0-n10")
    found = list(told(story).items())
    assert found[0] == ("n0", "goes on")
    assert found[1:] == [*((f"n0/n{index}", "reused") for index in range(10)), ("n0/n10", "runs")]


def test_dynamic_nodes_and_launch_plans_go_on() -> None:
    story = started(Flow().task("n0").launches("n1").fails_after())
    story.asks("n0", Flow("asked").task("dn0").returns(o0=From("dn0")))
    story.fails("n0-0-dn0")
    story.child_fails("n1")
    assert told(story) == {"n0": "goes on", "n0/dn0": "runs", "n1": "goes on"}
