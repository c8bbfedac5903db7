"""Replaying an execution: each envelope's command is found, obeyed again, and what follows laid beside the facts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from google.protobuf.message import Message

from flightlog_blobs import BlobStore
from flightlog_log import Recorded
from flightlog_protos.execution.v1.facts_pb2 import ExecutionCreated
from services.execution import engine
from services.execution.deciding import Decider, Reusable
from services.execution.engine import Program
from services.execution.history.replay import given
from services.execution.history.replay.fact_differences import CHANGED, FactDifference, compared
from services.execution.history.replay.looking import Looked
from services.execution.history.replay.pasts import Past
from services.execution.history.replay.redacting import is_redacted
from services.execution.history.replay.steps import differences
from services.execution.lookup import Lookup
from services.execution.settings import ExecutionSettings

# What a rule that is broken today may raise: a replay is there to find it.
_BROKEN: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Replayed:
    """One envelope, decided again."""

    record: Recorded
    command: engine.Command | None
    """None: nobody can say which it was."""
    now: datetime
    decision: engine.Decision | None
    """None: there is none today, and `note` says why."""
    differences: tuple[FactDifference, ...] = ()
    note: str = ""
    undecided: str = ""
    """Why it cannot be decided again: what it looked at is not there. It has no differences then."""

    @property
    def position(self) -> int:
        return self.record.envelope.position

    def lines(self) -> Iterator[str]:
        """It in words; none when the same was decided."""
        if self.undecided:
            yield f"#{self.position} {given.words(self.command)}: not decided again: {self.undecided}"
        elif self.differences:
            yield f"#{self.position} {given.words(self.command)}: would be decided otherwise today" + (
                f" ({self.note})" if self.note else ""
            )
            for one in self.differences:
                yield from (f"  {line}" for line in one.lines())

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "position": self.position,
            "event_id": self.record.event_id,
            "command": given.words(self.command),
            "same": not self.differences and not self.undecided,
            **({"note": self.note} if self.note else {}),
            **({"undecided": self.undecided} if self.undecided else {}),
            **({"differences": [one.document() for one in self.differences]} if self.differences else {}),
        }


@dataclass(frozen=True, slots=True)
class _Try:
    """A command that may have been given, obeyed again."""

    command: engine.Command
    now: datetime
    decision: engine.Decision | None
    note: str = ""
    lost: tuple[str, ...] = ()
    again: Callable[[], engine.Decision] | None = None


class Replaying:
    """Replays one execution after another.

    Args:
        blobs: where decisions find their data; what they look at is noted in `looked`.
        engine_settings: what decisions depend on; of `settings` unless told.
    """

    def __init__(
        self,
        blobs: BlobStore,
        lookup: Lookup,
        settings: ExecutionSettings,
        looked: Looked,
        engine_settings: engine.EngineSettings | None = None,
    ) -> None:
        self.decider = Decider(blobs, lookup, settings, engine=engine_settings)
        self._looked = looked
        self.lost: dict[str, str] = {}
        """What decisions asked for and can never be had, and why, by address."""

    async def replay(self, past: Past) -> AsyncIterator[Replayed]:
        """Every envelope, each decided in the state that the recorded facts before it make.

        Raises:
            BlobError: the object store cannot be reached.
            BrokenHistory: the facts are no execution's history.
        """
        state: engine.Execution | None = None
        reusable = Reusable()
        for record in past.records:
            yield await self._again(record, past, state, reusable)
            state = engine.fold(record.facts, state)

    async def _again(
        self, record: Recorded, past: Past, state: engine.Execution | None, reusable: Reusable
    ) -> Replayed:
        created = record.facts[0] if state is None else state.created
        if not isinstance(created, ExecutionCreated):
            raise engine.BrokenHistory(f"{record.subject} begins with {created.DESCRIPTOR.name}")
        self._looked.withheld.clear()
        program = await self.decider.program_or_why(created.closure)
        tries: list[_Try] = []
        for bare in given.commands(record.facts, past.key[2], past.cause(record), state):
            command = self._with_hash_of_outputs(await self.decider.with_result(state, bare), state)
            for now in given.moments(record.facts, record.occurred_at):
                tried = await self._try(state, command, now, program, reusable)
                if tried.decision is not None and tried.decision.facts == record.facts:
                    return Replayed(record, command, now, tried.decision)
                tries.append(tried)
        if not tries:
            unknown = "what led to it is not known, so no command is"
            return Replayed(record, None, record.occurred_at, None, undecided=unknown)
        return self._otherwise(record, min(tries, key=lambda tried: _distance(record.facts, tried)))

    def _otherwise(self, record: Recorded, nearest: _Try) -> Replayed:
        """Of the commands that may have been given, the one whose facts come nearest most likely was."""
        lacking = sorted({*self._looked.withheld, *nearest.lost})
        told = _differences(record.facts, nearest)
        if not lacking and (_lacks_value(nearest.command) or (self._looked.redacted and all(map(_of_hashes, told)))):
            lacking = ["a value that was left out"]
        if lacking:
            needs = f"it needs {', '.join(lacking)}"
            return Replayed(record, nearest.command, nearest.now, nearest.decision, undecided=needs)
        return Replayed(record, nearest.command, nearest.now, nearest.decision, told, nearest.note)

    async def _try(
        self,
        state: engine.Execution | None,
        command: engine.Command,
        now: datetime,
        program: Program,
        reusable: Reusable,
    ) -> _Try:
        lost: dict[str, str] = {}
        try:
            decision, context = await self.decider.decide_with_context(
                state, command, program, lambda: now, reusable, lost
            )
        except engine.Refused as refused:
            return _Try(command, now, None, f"refused: {refused}", tuple(lost))
        except _BROKEN as error:
            return _Try(command, now, None, f"the engine fails with {type(error).__name__}: {error}", tuple(lost))
        finally:
            self.lost |= lost
        return _Try(command, now, decision, "", tuple(lost), partial(engine.decide, state, command, context))

    def _with_hash_of_outputs(self, command: engine.Command, state: engine.Execution | None) -> engine.Command:
        """Outputs of which only the hash is known were there: for most decisions that is enough."""
        if not isinstance(command, engine.ObserveAttempt) or command.result is None or state is None:
            return command
        attempt = state.nodes[command.observation.node_id].live_attempt
        outputs = self._looked.withheld.get(f"{attempt.output_prefix}/outputs.pb") if attempt is not None else None
        if outputs is None:
            return command
        return replace(command, result=replace(command.result, outputs=outputs))


def _differences(recorded: Sequence[Message], tried: _Try) -> tuple[FactDifference, ...]:
    if tried.decision is None or tried.again is None:
        return tuple(compared(recorded, ()))
    return differences(recorded, tried.decision, tried.again)


def _distance(recorded: Sequence[Message], tried: _Try) -> tuple[int, int]:
    found = compared(recorded, tried.decision.facts if tried.decision is not None else ())
    return len(found), sum(len(one.fields) for one in found)


def _lacks_value(command: engine.Command) -> bool:
    return isinstance(command, engine.SetSignal) and is_redacted(command.value)


def _of_hashes(difference: FactDifference) -> bool:
    """It says no more than that something else was written."""
    return difference.kind == CHANGED and all(
        one.path.endswith((".sha256", ".size_bytes")) for one in difference.fields
    )
