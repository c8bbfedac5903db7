"""Histories of real executions: every decision with its command and what it looked at, to be decided again.

A `History` is what the log has of one execution, and beside it all that the engine was given: the commands (with what
attempts had left), the moments, the literals, closures and settings. Deciding is pure, so the same facts must follow,
today and after every change; where they do not, `redecide` says which fact of which decision became another.

On disk a history is gzipped JSON (`zcat file | jq`): messages in protobuf's JSON form, dataclasses by their names.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import unified_diff
from pathlib import Path
from types import ModuleType
from typing import Any

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf import symbol_database
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

import flightlog_compiler.references
from flightlog_protos.execution.v1.facts_pb2 import RecoveryPlan
from services.execution import engine
from services.execution.engine import commands

HISTORIES = Path(__file__).parent / "histories"
FORMAT = 1


@dataclass(frozen=True)
class Step:
    """One decision: an envelope's facts and the command they followed from."""

    position: int
    now: datetime
    command: engine.Command
    facts: tuple[Message, ...]


@dataclass(frozen=True)
class History:
    """One execution from its creation on. `closures` are keyed by the hash that facts name them by."""

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

    def difference(self) -> str:
        """What became of the step's facts, as a diff of their texts; empty when they are the same."""
        if tuple(self.decision.facts) == self.step.facts:
            return ""
        was, becomes = ("".join(map(_text, facts)).splitlines() for facts in (self.step.facts, self.decision.facts))
        return "\n".join(unified_diff(was, becomes, "recorded", "decided now", lineterm="", n=12))


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
        yield Redecided(step, state, player.decide(step, state))
        state = engine.fold(step.facts, state)


def _text(fact: Message) -> str:
    return f"{fact.DESCRIPTOR.name}\n" + "".join(f"  {line}\n" for line in str(fact).splitlines())


# ---------------------------------------------------------------------------------------------------- on disk


def dumped(history: History) -> dict[str, Any]:
    """As a JSON document."""
    return {
        "format": FORMAT,
        "settings": encoded(history.settings),
        "steps": [
            {
                "position": step.position,
                "now": encoded(step.now),
                "command": encoded(step.command),
                "facts": [encoded(fact) for fact in step.facts],
            }
            for step in history.steps
        ],
        "closures": {digest.hex(): _plain(closure) for digest, closure in sorted(history.closures.items())},
        "literals": {uri: _plain(literals) for uri, literals in sorted(history.literals.items())},
        "offloaded": {uri: _plain(literal) for uri, literal in sorted(history.offloaded.items())},
        "lost": dict(sorted(history.lost.items())),
        "recovery": encoded(history.recovery),
    }


def loaded(document: Mapping[str, Any]) -> History:
    """A JSON document's history."""
    assert document["format"] == FORMAT
    return History(
        settings=decoded(document["settings"]),
        steps=tuple(
            Step(
                position=step["position"],
                now=decoded(step["now"]),
                command=decoded(step["command"]),
                facts=tuple(map(decoded, step["facts"])),
            )
            for step in document["steps"]
        ),
        closures={
            bytes.fromhex(digest): ParseDict(closure, CompiledWorkflowClosure())
            for digest, closure in document["closures"].items()
        },
        literals={uri: ParseDict(literals, LiteralMap()) for uri, literals in document["literals"].items()},
        offloaded={uri: ParseDict(literal, Literal()) for uri, literal in document["offloaded"].items()},
        lost=document["lost"],
        recovery=decoded(document["recovery"]),
    )


def write(history: History, path: Path) -> None:
    """Equal histories make equal files."""
    text = json.dumps(dumped(history), ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read(path: Path) -> History:
    return loaded(json.loads(gzip.decompress(path.read_bytes())))


def _dataclasses(*modules: ModuleType) -> dict[str, type[Any]]:
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, tuple))
    }


_CLASSES = _dataclasses(commands, flightlog_compiler.references)


def encoded(value: Any) -> Any:
    """A value of the engine's commands as JSON; dataclasses by name, without the fields that have their default."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case datetime():
            return {"datetime": value.isoformat()}
        case timedelta():
            return {"seconds": value.total_seconds()}
        case Message():
            return {"message": value.DESCRIPTOR.full_name, "value": _plain(value)}
        case enum.Enum():
            raise TypeError(f"{value} has no place in a command")
        case tuple() if type(value) is not tuple:
            return {"tuple": type(value).__name__, "items": [encoded(item) for item in value]}
        case tuple() | list():
            return [encoded(item) for item in value]
        case Mapping():
            return {"map": [[encoded(key), encoded(item)] for key, item in value.items()]}
    return {"class": type(value).__name__, **{name: encoded(item) for name, item in _set_fields(value)}}


def decoded(value: Any) -> Any:
    """The value that `encoded` made this of."""
    match value:
        case list():
            return tuple(map(decoded, value))
        case {"bytes": text}:
            return base64.b64decode(text)
        case {"datetime": text}:
            return datetime.fromisoformat(text)
        case {"seconds": seconds}:
            return timedelta(seconds=seconds)
        case {"message": name, "value": content}:
            return ParseDict(content, symbol_database.Default().GetSymbol(name)())
        case {"tuple": name, "items": items}:
            return _CLASSES[name](*map(decoded, items))
        case {"map": pairs}:
            return {decoded(key): decoded(item) for key, item in pairs}
        case {"class": name, **fields}:
            return _CLASSES[name](**{key: decoded(item) for key, item in fields.items()})
    return value


def _set_fields(value: Any) -> Iterator[tuple[str, Any]]:
    for one in dataclasses.fields(value):
        item = getattr(value, one.name)
        factory: Callable[[], Any] | Any = one.default_factory
        default = one.default if factory is dataclasses.MISSING else factory()
        if default is dataclasses.MISSING or item != default:
            yield one.name, item


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)
