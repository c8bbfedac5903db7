"""Facts that were decided once and are decided again: which are missing, new, or say something else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.execution.history.replay.rules import Rule, Rules

CHANGED: Final = "changed"
MISSING: Final = "missing"
ADDED: Final = "added"
MOVED: Final = "moved"
_MARKS: Final = {CHANGED: "~", MISSING: "-", ADDED: "+", MOVED: ">"}
_NAMING: Final = ("attempt", "timer_id", "signal_id", "number")
_AS_ONE_VALUE: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.Struct"})


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field that says something else; "" where it is not set."""

    path: str
    recorded: str
    now: str


@dataclass(frozen=True, slots=True)
class FactDifference:
    """One fact that is not what it was."""

    kind: str
    """`changed`; `missing`: recorded, not given now; `added`: given now, not recorded; `moved`: at another place."""
    fact: str
    """Its short name."""
    node: str
    fields: tuple[FieldDifference, ...] = ()
    rule: Rule | None = None
    """What gives it now; None where nothing does."""

    def lines(self) -> Iterator[str]:
        """It in words: the fact, the rule, and each field."""
        said = f"{_MARKS[self.kind]} {self.fact}" + (f" of {self.node}" if self.node else "") + f" ({self.kind})"
        yield said + (f", given by {self.rule.name}" if self.rule is not None else "")
        for one in self.fields:
            if self.kind != ADDED:
                yield f"    - {one.path}: {one.recorded}"
            if self.kind != MISSING:
                yield f"    + {one.path}: {one.now}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        made: dict[str, Any] = {"kind": self.kind, "fact": self.fact, "node": self.node}
        if self.rule is not None:
            made |= {"rule": self.rule.name, "called_by": list(self.rule.called_by)}
        made["fields"] = [{"path": one.path, "recorded": one.recorded, "now": one.now} for one in self.fields]
        return made


def compared(recorded: Sequence[Message], now: Sequence[Message], rules: Rules = ()) -> list[FactDifference]:
    """The differences, in the order of the facts.

    Args:
        rules: of the facts that are given now; none when they are not known.
    """
    given: Sequence[Rule | None] = rules if len(rules) == len(now) else [None] * len(now)
    matcher = SequenceMatcher(None, [_key(fact) for fact in recorded], [_key(fact) for fact in now], autojunk=False)
    operations = matcher.get_opcodes()
    gone = [was for operation, first, last, *_ in operations if operation != "equal" for was in recorded[first:last]]
    come = [fact for operation, *_, first, last in operations if operation != "equal" for fact in now[first:last]]
    found: list[FactDifference] = []
    for operation, first, last, first_now, last_now in operations:
        becoming = list(zip(now[first_now:last_now], given[first_now:last_now], strict=True))
        if operation == "equal":
            pairs = zip(recorded[first:last], becoming, strict=True)
            found += [_difference(CHANGED, fact, was, rule) for was, (fact, rule) in pairs if was != fact]
            continue
        found += [_difference(MISSING, was, was, None) for was in recorded[first:last] if was not in come]
        found += [
            _difference(MOVED, fact, fact, rule) if fact in gone else _difference(ADDED, fact, None, rule)
            for fact, rule in becoming
        ]
    return found


def _difference(kind: str, fact: Message, was: Message | None, rule: Rule | None) -> FactDifference:
    now = None if kind == MISSING else fact
    fields = tuple(_fields(was, now))
    return FactDifference(kind, fact.DESCRIPTOR.name, _node(fact), fields, rule)


def _key(fact: Message) -> tuple[str, ...]:
    """What makes two facts the same one, whatever else they say."""
    return fact.DESCRIPTOR.name, _node(fact), *(str(getattr(fact, name, "")) for name in _NAMING)


def _node(fact: Message) -> str:
    """The node that a fact is about: of this execution, or of one below it."""
    node: Any = getattr(fact, "node", None)
    return str(getattr(fact, "node_id", "") or getattr(node, "node_id", ""))


def _fields(was: Message | None, becomes: Message | None) -> Iterator[FieldDifference]:
    then = dict(_flat(was, "")) if was is not None else {}
    now = dict(_flat(becomes, "")) if becomes is not None else {}
    for path in dict.fromkeys((*then, *now)):
        if then.get(path) != now.get(path):
            yield FieldDifference(path, then.get(path, ""), now.get(path, ""))


def _flat(message: Message, path: str) -> Iterator[tuple[str, str]]:
    """Every field that is set, by its path."""
    for field, value in message.ListFields():
        name = f"{path}.{field.name}" if path else field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of_value = field.message_type.fields_by_name["value"]
            keys: list[Any] = sorted(value)
            for key in keys:
                yield from _value(of_value, value[key], f"{name}[{key}]")
        elif field.is_repeated:
            for index, item in enumerate(value):
                yield from _value(field, item, f"{name}[{index}]")
        else:
            yield from _value(field, value, name)


def _value(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Message):
        if value.DESCRIPTOR.full_name in _AS_ONE_VALUE:
            yield path, str(MessageToDict(value))
            return
        inner = list(_flat(value, path))
        yield from inner or [(path, "{}")]
    elif isinstance(value, bytes):
        yield path, value.hex()
    elif field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        yield path, known.name if known is not None else str(value)
    else:
        yield path, str(value)
