"""Histories and commands as JSON: messages in protobuf's JSON form, dataclasses by their names. Pure.

This is the form of the golden histories, and of the settings in an exported file.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf import symbol_database
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

import flightlog_compiler.references
from services.execution.engine import commands
from services.execution.history.replay.steps import History, Step

FORMAT = 1


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
    """A JSON document's history. Raises `ValueError` for one of another format."""
    if document.get("format") != FORMAT:
        raise ValueError(f"a history of format {document.get('format')}; this release knows {FORMAT}")
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


def to_bytes(history: History) -> bytes:
    """Gzipped JSON (`zcat file | jq`). Equal histories make equal bytes."""
    text = json.dumps(dumped(history), ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), 9, mtime=0)


def from_bytes(data: bytes) -> History:
    """The reverse of `to_bytes`. Raises as `loaded`, and whatever `gzip` and `json` do."""
    return loaded(json.loads(gzip.decompress(data)))


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
        case _:
            pass
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
        case _:
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
