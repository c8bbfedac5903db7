"""What was once written is read for ever: a golden file of every version of every fact, decoded and folded."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.registry.v1.facts_pb2 import TaskRegistered
from services.execution import engine
from tests.unit.engine.golden_files import FACTS, GOLDEN, HISTORIES, complete, decoded, encoded, latest
from tests.unit.engine.story import Flow, Story

FACT_FILES = sorted(path for path in GOLDEN.glob("*.json") if not path.name.startswith("history-"))
# What clients see of an execution changes with them; no later decision looks at them.
_SHOWN_ONLY = frozenset({"ExecutionStateChanged", "ArrayEnded"})
HISTORY_FILES = sorted(GOLDEN.glob("history-*.json"))


def read(path: Path) -> dict:  # type: ignore[type-arg]
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", FACT_FILES, ids=lambda path: path.stem)
def test_fact_is_decoded_as_it_was_written(path: Path) -> None:
    entry = read(path)
    fact = decoded(entry)
    assert fact == ParseDict(entry["json"], type(fact)())
    assert encoded(fact) == entry


@pytest.mark.parametrize("kind", FACTS, ids=lambda kind: kind.DESCRIPTOR.name)
def test_every_field_of_every_fact_is_in_a_golden_file(kind: type[Message]) -> None:
    newest = latest(kind.DESCRIPTOR.name)
    assert newest is not None, "run `python -m tests.unit.engine.golden_files`"
    known = {field.name for field, _ in complete(kind).ListFields()}
    assert {field.name for field, _ in decoded(read(newest)).ListFields()} == known, f"a newer version of {newest.name}"


@pytest.mark.parametrize("path", FACT_FILES, ids=lambda path: path.stem)
def test_fact_is_folded(path: Path) -> None:
    fact = decoded(read(path))
    if type(fact).__name__ == "ExecutionCreated":
        assert engine.evolve(None, fact).created == fact
        return
    state = state_for(fact)
    folded = engine.evolve(state, fact)
    if type(fact).__name__ not in _SHOWN_ONLY:
        assert folded != state, "the fact changes nothing"


def state_for(fact: Message) -> engine.Execution:
    """A state in which a fact about any node and attempt makes sense: both were there before."""
    history = list(Story(Flow()).history)
    node_id, attempt = getattr(fact, "node_id", ""), getattr(fact, "attempt", 0)
    name = type(fact).__name__
    if node_id and name not in ("NodeQueued", "NodeSkipped"):
        queued = decoded(read(GOLDEN / "NodeQueued.1.json"))
        queued.node_id = node_id  # type: ignore[attr-defined]
        scheduled = decoded(read(GOLDEN / "AttemptScheduled.1.json"))
        scheduled.node_id, scheduled.attempt = node_id, attempt  # type: ignore[attr-defined]
        history += [queued] if name == "AttemptScheduled" else [queued, scheduled]
        if name == "ReservationReleased":
            history.append(decoded(read(GOLDEN / "ReservationAsked.1.json")))
            history[-1].node_id = node_id  # type: ignore[attr-defined]
    if name in ("SlotAwaited", "SlotTaken", "SlotReturned"):
        # A node that takes a place, and has asked for one unless it is to ask again.
        history = [history[0], facts_pb2.NodeQueued(node_id=node_id, kind=facts_pb2.TASK)]
        ask = facts_pb2.SlotAsked(node_id=node_id, number=getattr(fact, "number", 0))
        history.append(ask if name != "SlotAwaited" else facts_pb2.SlotTaken(node_id=node_id))
    if name == "SignalSet":
        history.append(facts_pb2.SignalAwaited(signal_id=fact.signal_id))  # type: ignore[attr-defined]
    return engine.fold(history)


@pytest.mark.parametrize("path", HISTORY_FILES, ids=lambda path: path.stem)
def test_history_is_folded_as_it_was(path: Path) -> None:
    entry = read(path)
    state = engine.fold(map(decoded, entry["facts"]))
    assert state.phase.name == entry["phase"]
    assert {node_id: node.phase.name for node_id, node in sorted(state.nodes.items())} == entry["nodes"]


@pytest.mark.parametrize("name", HISTORIES)
def test_history_has_a_golden_file(name: str) -> None:
    assert latest(f"history-{name}") is not None


def test_fact_of_an_unknown_kind_changes_nothing() -> None:
    state = Story(Flow()).state
    assert state is not None
    assert engine.evolve(state, TaskRegistered()) is state


def test_history_that_does_not_begin_with_creation_is_broken() -> None:
    started = decoded(read(GOLDEN / "ExecutionStarted.1.json"))
    with pytest.raises(engine.BrokenHistory):
        engine.fold([started])
    with pytest.raises(engine.BrokenHistory):
        engine.fold([])
    created = decoded(read(GOLDEN / "ExecutionCreated.1.json"))
    with pytest.raises(engine.BrokenHistory, match="never queued"):
        engine.fold([created, decoded(read(GOLDEN / "NodeStarted.1.json"))])
    queued = decoded(read(GOLDEN / "NodeQueued.1.json"))
    with pytest.raises(engine.BrokenHistory, match="never scheduled"):
        engine.fold([created, queued, decoded(read(GOLDEN / "AttemptAborted.1.json"))])
