"""What real executions decided is decided again, fact by fact: a change of behaviour shows as a diff of facts.

The histories are those of the conformance suite's runs; `python -m tests.conformance.histories` records them anew where
a change was meant.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from flyteidl.core.compiler_pb2 import CompiledTask
from flyteidl.core.errors_pb2 import ContainerError, ErrorDocument
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_compiler import EntityKey
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated, SignalAwaited, TimerSet
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import engine
from services.execution.engine import retries
from services.execution.history.replay.encoding import decoded, dumped, encoded, loaded
from services.execution.history.replay.fact_differences import compared
from services.execution.history.replay.steps import History, Step, redecide
from tests.unit.engine.replaying import HISTORIES, read, write
from tests.unit.engine.story import Flow, From, Story, identifier, literal_map

TASK = identifier("TASK", "elsewhere")
TASK_BODY = CompiledTask()
FILES = sorted(HISTORIES.glob("*.json.gz"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".json.gz"))
def test_history_is_decided_as_it_was(path: Path) -> None:
    history = read(path)
    differences = [
        f"decision {one.step.position}, {type(one.step.command).__name__}:\n{difference}"
        for one in redecide(history)
        if (difference := one.difference())
    ]
    assert not differences, "\n\n".join(differences[:3])
    final = engine.fold(fact for step in history.steps for fact in step.facts)
    assert final.phase.terminal


def test_histories_hold_commands_of_every_kind() -> None:
    found = {type(step.command) for path in FILES for step in read(path).steps}
    # One that was deleted has no history.
    assert found == set(get_args(engine.Command)) - {engine.DeleteExecution}


def test_histories_are_small() -> None:
    """Together: all of them are read at every run of the unit tests."""
    assert FILES
    assert sum(path.stat().st_size for path in FILES) < 1_500_000


def told() -> History:
    """The history of a short story: a task that is lost, tried again after a pause, and an echo of what it gave."""
    flow = Flow().task("n0", retries=1).echo("n1", {"a": From("n0")}).returns(o0=From("n1"))
    story = Story(flow, settings=engine.EngineSettings(retry_backoff_base=timedelta(seconds=1)))
    created = story.history[0]
    assert isinstance(created, ExecutionCreated)
    steps = [Step(1, story.now, engine.CreateExecution(created), (created,))]

    def does(command: engine.Command) -> None:
        steps.append(Step(len(steps) + 1, story.now, command, story.decided(command)))

    does(engine.StartExecution())
    does(engine.ObserveAttempt(story.observation("n0", "LOST")))
    story.now += timedelta(seconds=1)
    does(engine.FireTimer(story.last(TimerSet).timer_id))
    literals = literal_map({"o0": 1})
    outputs = story.put(f"{story.output_prefix('n0')}/outputs.pb", literals)
    result = engine.AttemptResult(outputs=outputs, literals=literals)
    does(engine.ObserveAttempt(story.observation("n0", "EXITED", 1), result))
    assert story.phase == "SUCCEEDED"
    return History(
        settings=story.settings,
        steps=tuple(steps),
        closures={created.closure.sha256: flow.closure()},
        literals={uri: LiteralMap.FromString(data) for uri, data in story.blobs.items()},
        lost={"s3://bucket/nowhere": "it does not exist"},
    )


def test_history_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    history = told()
    assert loaded(json.loads(json.dumps(dumped(history)))) == history
    path = tmp_path / "history.json.gz"
    write(history, path)
    assert read(path) == history
    before = path.read_bytes()
    write(read(path), path)
    assert path.read_bytes() == before
    assert not any(one.difference() for one in redecide(history))


def test_other_behaviour_is_shown_as_a_diff_of_facts() -> None:
    history = told()
    slower = replace(history, settings=replace(history.settings, retry_backoff_base=timedelta(seconds=2)))
    differences = [one.difference() for one in redecide(slower)]
    changed = [step.position for step, text in zip(history.steps, differences, strict=True) if text]
    assert changed == [3]
    assert differences[2].splitlines()[:3] == [
        "~ RetryScheduled of n0 (changed), given by retries._retry",
        "    - due: 2026-05-01T08:00:01Z",
        "    + due: 2026-05-01T08:00:02Z",
    ]


def test_a_deliberately_changed_rule_is_caught_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt is tried again at once: exactly the decision to retry is another one, and the rules are named."""
    history = told()
    monkeypatch.setattr(retries, "_pause", lambda *_: timedelta())
    different = [one for one in redecide(history) if one.differences]
    assert [(one.step.position, type(one.step.command)) for one in different] == [(3, engine.ObserveAttempt)]
    named = [(one.kind, one.fact, one.rule.name if one.rule else None) for one in different[0].differences]
    assert named == [
        ("changed", "RetryScheduled", "retries._retry"),
        ("missing", "TimerSet", None),
        ("added", "AttemptScheduled", "attempts.schedule"),
    ]
    (due,) = different[0].differences[0].fields
    assert (due.path, due.recorded, due.now) == ("due", "2026-05-01T08:00:01Z", "2026-05-01T08:00:00Z")
    rule = different[0].differences[0].rule
    assert rule is not None
    assert rule.way.startswith("decide.decide > decide._obey > decide._observe > attempts.observe > ")


def test_a_changed_rule_is_caught_by_the_golden_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in which it has a say, and no others."""
    monkeypatch.setattr(retries, "_pause", lambda *_: timedelta(seconds=7))
    retried, others = set[str](), set[str]()
    for path in FILES:
        history = read(path)
        tried_again = any(fact.DESCRIPTOR.name == "RetryScheduled" for step in history.steps for fact in step.facts)
        told = [one for again in redecide(history) for one in again.differences]
        assert bool(told) == tried_again, path.name
        rules = {one.rule.name for one in told if one.rule is not None and one.fact == "RetryScheduled"}
        assert rules == ({"retries._retry"} if told else set()), path.name
        (retried if told else others).add(path.name)
    assert retried
    assert others


def test_what_moved_within_a_decision_is_told_as_such() -> None:
    first, second, third = (SignalAwaited(signal_id=name) for name in "abc")
    assert [(one.kind, one.fact) for one in compared([first, second, third], [second, third, first])] == [
        ("moved", "SignalAwaited")
    ]
    assert compared([first], [first]) == []


def test_rules_are_told_of_the_turn_that_was_the_last() -> None:
    """An execution that cannot go on is given up by a turn of its own: what came before it does not count."""
    history = told()
    broken = replace(history, literals={}, lost={history.created.inputs.uri: "it does not exist"})
    given_up = next(one for one in redecide(broken) if one.differences)
    assert given_up.step.position == 2
    rules = {one.fact: one.rule.name for one in given_up.differences if one.kind == "added" and one.rule}
    assert rules["ExecutionFailing"] == "failure.fail_execution"


def test_a_fact_too_many_is_shown() -> None:
    history = told()
    first = replace(history.steps[1], facts=history.steps[1].facts[:-1])
    changed = replace(history, steps=(history.steps[0], first))
    *_, last = redecide(changed)
    assert any(line.startswith("+") for line in last.difference().splitlines())


@pytest.mark.parametrize(
    "value",
    [
        engine.EngineSettings(offloading=engine.Offloading(min_mib=3), retry_backoff_max=timedelta(milliseconds=1)),
        engine.TerminateExecution("enough", "somebody"),
        engine.ObserveAttempt(
            AttemptObserved(node_id="n0", stage=AttemptObserved.EXITED),
            engine.AttemptResult(
                outputs=DataRef(uri="s3://bucket/outputs.pb", sha256=b"\0\xff", size_bytes=3),
                error=ErrorDocument(error=ContainerError(code="Broken", message="why")),
                futures=engine.Futures(
                    DataRef(uri="s3://bucket/futures.pb"), None, tasks={EntityKey.of(TASK): TASK_BODY}
                ),
                deck=True,
            ),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_commands_come_back_from_json(value: Any) -> None:
    assert decoded(json.loads(json.dumps(encoded(value)))) == value
