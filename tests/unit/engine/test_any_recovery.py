"""Whatever was recovered, wherever it had stopped: it ends as if it had never been interrupted.

Random workflows whose nodes give what follows from their place and their inputs are stopped or left at a random moment
of a random history, and recovered, perhaps more than once. The outcome is that of an undisturbed run, and nothing runs
that had succeeded.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zlib import crc32

from flyteidl.core import types_pb2
from flyteidl.core.literals_pb2 import LiteralMap
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from services.execution.engine.gates import TYPE_CLASH
from services.execution.engine.recovery_plans import path_of
from tests.unit.engine.story import Story
from tests.unit.engine.test_any_history import Plan, plans

SIGNALS = {"s0": 500, "s1": 501, "s2": 502}


def path(story: Story, node_id: str) -> str:
    assert story.state is not None
    node = story.state.nodes[node_id]
    return path_of(story.state.nodes, node.parent_id, node.spec_node_id)


def asked_for(story: Story, plan: Plan, node_id: str) -> Plan | None:
    """What a dynamic node's task asks for."""
    assert story.state is not None
    node = story.state.nodes[node_id]
    above = [node.spec_node_id]
    while node.parent_id:
        node = story.state.nodes[node.parent_id]
        above.append(node.spec_node_id)
    kind = ""
    for spec_node_id in reversed(above):
        kind, found = plan.kinds.get(spec_node_id, ""), plan.subs.get(spec_node_id)
        if found is None:
            return None
        plan = found
    return plan if kind == "dynamic" else None


def given_by(story: Story, node_id: str) -> int:
    """What a node gives: it follows from where it is and what it gets."""
    inputs = story.node(node_id).inputs
    assert inputs is not None
    content = LiteralMap.FromString(story.blobs[inputs.uri]).SerializeToString(deterministic=True)
    return crc32(path(story, node_id).encode() + content) % 200


def step(story: Story, plan: Plan, chance: int, *, well: bool) -> bool:
    """Lets one thing happen; False when there is nothing that could."""
    assert story.state is not None
    choices = [("attempt", node.node_id) for node in story.state.open_nodes() if node.live_attempt is not None]
    for timer_id, timer in story.state.timers.items():
        node = story.state.nodes[timer.node_id]
        if timer.kind in (facts.SLEEP, facts.RETRY) and not node.phase.terminal:
            choices.append(("timer", timer_id))
    for signal_id, signal in story.state.signals.items():
        if signal.value is None:
            choices.append(("signal", signal_id))
    while choices:
        what, which = choices.pop(chance % len(choices))
        if what == "timer" and story.fire(which):
            return True
        if what == "signal":
            approval = story.state.signals[which].type.simple == types_pb2.BOOLEAN
            story.sets(which, approval or SIGNALS[which])
            return True
        if what == "attempt":
            attempt_ends(story, plan, which, fails=not well and chance % 4 == 0)
            return True
    return False


def attempt_ends(story: Story, plan: Plan, node_id: str, *, fails: bool) -> None:
    node = story.node(node_id)
    number = node.attempt_number
    assert node.attempt is not None
    stopping = node.attempt.stopping
    if node.kind == facts.LAUNCH_PLAN:
        if stopping:
            story.child_aborted(node_id, number)
        elif fails:
            story.child_fails(node_id, number)
        else:
            story.child_succeeds(node_id, number, {"o0": given_by(story, node_id)})
    elif stopping:
        story.sees(node_id, "KILLED", number)
    elif fails:
        story.fails(node_id, number, recoverable=number % 2 == 0)
    elif (asked := asked_for(story, plan, node_id)) is not None:
        story.asks(node_id, asked.flow, number)
    else:
        story.succeeds(node_id, number, {"o0": given_by(story, node_id)})


def run_well(story: Story, plan: Plan) -> Any:
    """To the end, with nothing going wrong any more; returns how it ended."""
    assert story.state is not None
    while not story.state.phase.terminal:
        assert step(story, plan, 0, well=True), "nothing can happen any more, and it is not over"
    return (story.phase, story.outputs() if story.phase == "SUCCEEDED" else story.error().code)


def begun(story: Story) -> Story:
    story.start()
    return story


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plans(),
    st.lists(st.lists(st.integers(0, 11), max_size=12), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 2),
)
def test_a_recovered_execution_ends_as_if_it_had_never_been_interrupted(
    plan: Plan, lives: list[list[int]], aborted: bool, parallelism: int
) -> None:
    settings = engine.EngineSettings(retry_backoff_base=timedelta())
    expected = run_well(begun(Story(plan.flow, {"x": 5}, settings=settings)), plan)
    # Which of two gates gives their signal its type depends on which comes first; one that is reused does not ask.
    assume(expected[1] != TYPE_CLASH)
    story = begun(Story(plan.flow, {"x": 5}, settings=settings, parallelism=parallelism))
    left: dict[str, facts.RecoverableNode] = {}
    for life in lives:
        for chance in life:
            assert story.state is not None
            if story.state.phase.terminal or not step(story, plan, chance, well=False):
                break
        if aborted and story.state is not None and not story.state.phase.terminal:
            story.terminate()
        left = {node.path: node for node in reused_of(story).nodes}
        story = begun(story.recovered(parallelism=parallelism))
    ended = run_well(story, plan)
    # A conditional that refuses, or a gate that is not approved, does so every time.
    assert ended == expected
    for fact in story.history:
        if isinstance(fact, facts.AttemptScheduled | facts.ChildExecutionRequested):
            where = path(story, fact.node_id)
            assert where not in left or not engine.is_reused(left[where]) or planned_anew(left, where)


def reused_of(story: Story) -> facts.RecoveryPlan:
    assert story.state is not None
    created = story.state.created
    earlier = None
    if created.HasField("recovery"):
        earlier = facts.RecoveryPlan.FromString(story.blobs[created.recovery.uri])
    return engine.recovery_plan(story.history, earlier)


def planned_anew(left: dict[str, facts.RecoverableNode], where: str) -> bool:
    """Whether it belongs to a dynamic node that has to ask again: its task was running anew when it stopped."""
    parts = where.split("/")
    above = ["/".join(parts[:length]) for length in range(1, len(parts))]
    return any(not left[path].HasField("plan") for path in above if path in left and left[path].kind == facts.TASK)
