"""A history as decisions: every command with the facts that followed from it, to be decided again. Pure.

Deciding is a pure function, so the same facts must follow, today and after every change; where they do not, what became
of them is told fact by fact, with the rule that gives them now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.message import Message

from flightlog_protos.execution.v1.facts_pb2 import RecoveryPlan
from services.execution import engine
from services.execution.history.replay.fact_differences import FactDifference, compared
from services.execution.history.replay.rules import Rules, tell_rules


@dataclass(frozen=True)
class Step:
    """One decision: an envelope's facts and the command they followed from."""

    position: int
    now: datetime
    command: engine.Command
    facts: tuple[Message, ...]


@dataclass(frozen=True)
class History:
    """One execution from its creation on, with all that its decisions looked at. `closures` are keyed by the hash that
    facts name them by."""

    settings: engine.EngineSettings
    steps: tuple[Step, ...]
    closures: Mapping[bytes, CompiledWorkflowClosure]
    literals: Mapping[str, LiteralMap] = field(default_factory=dict[str, LiteralMap])
    offloaded: Mapping[str, Literal] = field(default_factory=dict[str, Literal])
    lost: Mapping[str, str] = field(default_factory=dict[str, str])
    recovery: RecoveryPlan | None = None

    @property
    def created(self) -> Any:
        """The first fact."""
        return self.steps[0].facts[0]


@dataclass(frozen=True)
class Redecided:
    """A step decided anew; `before` is the state it was decided in."""

    step: Step
    before: engine.Execution | None
    decision: engine.Decision
    differences: tuple[FactDifference, ...]

    def difference(self) -> str:
        """What became of the step's facts, in lines; empty when they are the same."""
        return "\n".join(line for one in self.differences for line in one.lines())


class Player:
    """Decides a history's steps, given the states before them."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._programs = {digest: engine.Program.parse(closure) for digest, closure in history.closures.items()}
        self._recovery = engine.Recovery.of(history.recovery) if history.recovery is not None else None

    def decide(self, step: Step, before: engine.Execution | None) -> engine.Decision:
        """What follows from the step's command.

        Raises:
            NeedData, NeedProgram, NeedRecovery: the engine looks at something that it did not look at then.
        """
        history = self._history
        program = self._programs[history.created.closure.sha256]
        context = engine.Context(
            step.now,
            program,
            history.literals,
            history.settings,
            history.lost,
            self._programs,
            history.offloaded,
            self._recovery,
        )
        return engine.decide(before, step.command, context)


def redecide(history: History) -> Iterator[Redecided]:
    """Every decision again, each in the state that the recorded facts before it make. Raises as `Player.decide`."""
    player = Player(history)
    state: engine.Execution | None = None
    for step in history.steps:
        before = state

        def again(step: Step = step, before: engine.Execution | None = before) -> engine.Decision:
            return player.decide(step, before)

        decision = again()
        yield Redecided(step, before, decision, differences(step.facts, decision, again))
        state = engine.fold(step.facts, state)


def differences(
    recorded: Sequence[Message], decision: engine.Decision, again: Callable[[], engine.Decision]
) -> tuple[FactDifference, ...]:
    """Where a decision differs from what is recorded; none when it does not.

    Args:
        again: decides it once more, to see which rules give the facts.
    """
    if tuple(decision.facts) == tuple(recorded):
        return ()
    rules: Rules = tell_rules(again)
    return tuple(compared(recorded, decision.facts, rules))
