"""Which rules of the engine give the facts of a decision: the functions that emit them, and by whom these were called.

The engine does not say so itself, and need not: the decision is made once more under the interpreter's profiler, which
sees every call. Pure, but for that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from services.execution.engine.commands import Decision
from services.execution.engine.turn import Turn

_ENGINE: Final = "services.execution.engine"
_EMIT: Final = Turn.emit.__code__
_SPOKEN_FOR: Final = frozenset({Turn.__module__})
"""Modules whose functions only carry out what a rule decided."""

Rules = tuple["Rule", ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A function of the engine that gave a fact: `retries.again`."""

    name: str
    called_by: tuple[str, ...] = ()
    """The functions above it, from `decide` down."""

    @property
    def way(self) -> str:
        """The whole of it, as one line."""
        return " > ".join((*self.called_by, self.name))


def tell_rules(decide: Callable[[], Decision]) -> Rules:
    """The rule of each fact of a decision, in their order; none when they cannot be told.

    Raises whatever `decide` raises.
    """
    # A decision may begin anew half-way: what counts is the turn that was the last.
    found: dict[int, list[Rule]] = {}
    last: list[Any] = [None]

    def look(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is _EMIT:
            turn = frame.f_locals["self"]
            last[0] = turn
            found.setdefault(id(turn), []).append(_rule(frame))

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        decision = decide()
    finally:
        sys.setprofile(before)
    rules = tuple(found.get(id(last[0]), ()))
    if not rules:
        # Nothing was emitted: an execution's creation is taken over as it is.
        return tuple(Rule("decide.decide") for _ in decision.facts)
    return rules if len(rules) == len(decision.facts) else ()


def _rule(emit: FrameType) -> Rule:
    names: list[str] = []
    carried_out: list[str] = []
    frame = emit.f_back
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_ENGINE):
            name = f"{module.rpartition('.')[2]}.{frame.f_code.co_qualname}"
            (carried_out if module in _SPOKEN_FOR else names).append(name)
        frame = frame.f_back
    if not names:
        return Rule(carried_out[0] if carried_out else "decide.decide")
    return Rule(names[0], tuple(reversed(names[1:])))
