"""The filter, sort and page language of Flyte's list calls, turned into SQL with arguments.

Grammar and messages as in admin-contract §0.3-0.5 and the recorded errors: `eq(name,x)+value_in(phase,A;B)`, joined by
AND only, nothing quoted, field checked before function. Values never become SQL text: each is an argument, converted
by its column's kind.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from flyteidl.admin.common_pb2 import Sort

from flightlog_read.errors import InvalidQuery

Kind: TypeAlias = Literal["text", "int", "float", "bool", "timestamp", "duration_ns", "phase"]
"""How a filter value is read: `duration_ns` takes seconds or a Go duration and compares nanoseconds, `phase` an
enum's name.
"""

Value: TypeAlias = str | int | float | bool | datetime

_SHAPE = re.compile(r"(\w*)\((.+), ?(.+)\)", re.DOTALL)
_ARGUMENT = re.compile(r"\$(\d+)")
_INT64 = range(-(2**63), 2**63)

# What Flyte calls an entity in its messages: `'e.zz' is invalid filter` for a field of an execution (recorded).
_SHORT_NAMES = {
    "execution": "e",
    "launch_plan": "l",
    "node_execution": "ne",
    "task": "t",
    "task_execution": "te",
    "workflow": "w",
    "entities": "nen",
    "named_entity_metadata": "nem",
    "project": "p",
    "signal": "s",
    "admin_tag": "at",
    "execution_admin_tag": "eat",
    "execution_tag": "et",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A field that filters and sort keys may name.

    Attributes:
        name: as clients write it, such as `started_at`.
        sql: the expression that stands for it, such as `e.started_at`.
        kind: how values are read, and which type the argument has.
        within: SQL around the predicate, with `{}` in its place, for a value that lives in rows of another table:
            `EXISTS (SELECT FROM tags g WHERE g.execution = e.id AND {})`. Such a column cannot be sorted by.
    """

    name: str
    sql: str
    kind: Kind = "text"
    within: str = ""


@dataclass(frozen=True)
class Entity:
    """What a list call lists: its columns, and the entities that filters may reach from it.

    Attributes:
        name: the prefix that filters use for it (`execution`, `launch_plan`, …).
        columns: all of `sql` must be valid in the query that the caller writes.
        joins: prefix -> entity whose columns the same query also reaches.
        default_order: ORDER BY for a list without `sort_by`; the `id` column if there is one.
    """

    name: str
    columns: Sequence[Column]
    joins: Mapping[str, "Entity"] = field(default_factory=dict[str, "Entity"])
    default_order: str = ""
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {column.name: column for column in self.columns})

    @property
    def short_name(self) -> str:
        """The name in messages."""
        return _SHORT_NAMES.get(self.name, self.name)


@dataclass(frozen=True, slots=True)
class SqlWhere:
    """A condition and its arguments, numbered from $1. `a & b` joins two and renumbers.

    `fields` names what the client filtered by (`execution.state`), for implicit filters that step back when the client
    has one of its own.
    """

    clause: str = "TRUE"
    args: tuple[Value | Sequence[Value], ...] = ()
    fields: frozenset[str] = frozenset()

    def __and__(self, other: "SqlWhere") -> "SqlWhere":
        if other.clause == "TRUE":
            return SqlWhere(self.clause, self.args, self.fields | other.fields)
        shift = len(self.args)
        moved = _ARGUMENT.sub(lambda found: f"${int(found[1]) + shift}", other.clause)
        clause = moved if self.clause == "TRUE" else f"{self.clause} AND {moved}"
        return SqlWhere(clause, self.args + other.args, self.fields | other.fields)


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of a list. `limit` None means all."""

    limit: int | None
    offset: int

    @property
    def sql(self) -> str:
        """`LIMIT … OFFSET …`."""
        limit = "ALL" if self.limit is None else self.limit
        return f"LIMIT {limit} OFFSET {self.offset}"

    def next_token(self, count: int) -> str:
        """The token after a page of `count` rows: an exactly full page always has a next one (admin-contract §0.3)."""
        return str(self.offset + count) if count and count == self.limit else ""


def parse_filters(text: str, entity: Entity) -> SqlWhere:
    """Reads a filter expression; "" is TRUE.

    Filters of one entity whose rows are elsewhere are about one row of it: `eq(execution_tag.key,k)` and
    `eq(execution_tag.value,v)` want a tag that is both, as Flyte's join does.

    >>> parse_filters("value_in(phase,SUCCEEDED;FAILED)", EXECUTION)
    SqlWhere(clause='e.phase = ANY($1::text[])', args=(['SUCCEEDED', 'FAILED'],), …)

    Raises:
        InvalidQuery: with the message Flyte gives.
    """
    if not text:
        return SqlWhere()
    # By what is around them and whose they are; each of the others stands for itself.
    parts: dict[tuple[str, str], SqlWhere] = {}
    for number, expression in enumerate(text.split("+")):
        within, target, where = _parse_expression(expression, entity)
        key = (within, target if within else str(number))
        parts[key] = parts.get(key, SqlWhere()) & where
    whole = SqlWhere()
    for (within, _), where in parts.items():
        clause = within.replace("{}", where.clause) if within else where.clause
        whole = whole & SqlWhere(clause, where.args, where.fields)
    return whole


def equals(entity: Entity, name: str, value: str) -> SqlWhere:
    """The implicit filter of a list call: a part of the request's id. An empty value filters nothing.

    Raises:
        InvalidQuery: the value does not fit the column.
        KeyError: the entity has no such column.
    """
    if not value:
        return SqlWhere()
    return _compare(entity.by_name[name], "=", value)


def parse_sort(sort: Sort | None, entity: Entity) -> str:
    """The ORDER BY list (without the words), made total by the entity's own order.

    Args:
        sort: None when the request has none: `request.sort_by if request.HasField("sort_by") else None`. A present
        Sort with
            an empty key is refused.

    Raises:
        InvalidQuery: the key is not a column.
    """
    identity = entity.by_name.get("id")
    order = entity.default_order or (identity.sql if identity else "")
    if sort is None:
        return order or "1"
    column = entity.by_name.get(sort.key)
    if column is None or column.within:
        raise InvalidQuery(f"invalid sort key '{sort.key}'")
    direction = "ASC" if sort.direction == Sort.ASCENDING else "DESC"
    by_key = f"{column.sql} {direction}"
    if identity is not None:
        return by_key if column is identity else f"{by_key}, {identity.sql} {direction}"
    return f"{by_key}, {order}" if order else by_key


def parse_page(limit: int, token: str, rpc: str, *, unlimited: bool = False) -> Page:
    """Reads limit and offset token.

    Args:
        rpc: the call's name for the message, such as `ListExecutions`.
        unlimited: a limit of 0 means all, as in ListProjects.

    Raises:
        InvalidQuery: no limit, or a token that is not a row offset.
    """
    if limit <= 0 and not (unlimited and limit == 0):
        raise InvalidQuery("invalid value for limit")
    offset = 0
    if token:
        # ASCII digits with an optional sign, as Go reads it; int() alone would take blanks, underscores and other
        # scripts.
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", token) or int(token) not in _INT64 or int(token) < 0:
            raise InvalidQuery(f"invalid pagination token {token} for {rpc}")
        offset = int(token)
    return Page(limit or None, offset)


def parse_go_duration(text: str) -> int | None:
    """Nanoseconds of a Go duration (`1h2m3.5s`, `-300ms`, `0`); None if it is none."""
    if text in ("0", "+0", "-0"):
        return 0
    if not _GO_DURATION.fullmatch(text):
        return None
    total = sum(_nanoseconds(number, _UNITS[unit]) for number, unit in _GO_PART.findall(text))
    return -total if text.startswith("-") else total


_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_GO_PART = re.compile(r"([0-9]*\.?[0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_GO_DURATION = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")


def _nanoseconds(number: str, unit: int) -> int:
    whole, _, fraction = number.partition(".")
    return int(whole or "0") * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def _parse_expression(expression: str, entity: Entity) -> tuple[str, str, SqlWhere]:
    """What is around the predicate, the entity's name, and the predicate."""
    shape = _SHAPE.fullmatch(expression)
    if shape is None:
        raise InvalidQuery("invalid value for filters")
    function, name, value = shape.groups()
    prefix, dot, column_name = name.partition(".")
    target = entity
    if not dot or (prefix not in _SHORT_NAMES and prefix != entity.name):
        column_name = name
    elif prefix != entity.name:
        joined = entity.joins.get(prefix)
        if joined is None:
            raise InvalidQuery(f"'{_SHORT_NAMES[prefix]}' entity is not allowed in filters")
        target = joined
    column = target.by_name.get(column_name)
    if column is None:
        raise InvalidQuery(f"'{target.short_name}.{column_name}' is invalid filter")
    predicate = _FUNCTIONS.get(function)
    if predicate is None:
        raise InvalidQuery(f"unrecognized filter function: {function}")
    where = predicate(column, value)
    named = SqlWhere(where.clause, where.args, frozenset({f"{target.name}.{column_name}"}))
    return column.within, target.name, named


def _compare(column: Column, operator: str, text: str) -> SqlWhere:
    return SqlWhere(f"{column.sql} {operator} $1::{_READERS[column.kind][0]}", (_value(column, text),))


def _one_of(column: Column, text: str, negated: bool) -> SqlWhere:
    values = [_value(column, part) for part in text.split(";")]
    clause = f"{column.sql} = ANY($1::{_READERS[column.kind][0]}[])"
    return SqlWhere(f"NOT ({clause})" if negated else clause, (values,))


def _like(column: Column, pattern: str, operator: str) -> SqlWhere:
    # ESCAPE '' makes the backslash an ordinary character: a pattern that ends with one is no error then.
    sql = column.sql if column.kind in ("text", "phase") else f"({column.sql})::text"
    return SqlWhere(f"{sql} {operator} $1::text ESCAPE ''", (_text(column, pattern),))


_FUNCTIONS: Mapping[str, Callable[[Column, str], SqlWhere]] = {
    "eq": lambda column, text: _compare(column, "=", text),
    "ne": lambda column, text: _compare(column, "<>", text),
    "gt": lambda column, text: _compare(column, ">", text),
    "gte": lambda column, text: _compare(column, ">=", text),
    "lt": lambda column, text: _compare(column, "<", text),
    "lte": lambda column, text: _compare(column, "<=", text),
    "contains": lambda column, text: _like(column, f"%{text}%", "LIKE"),
    "not_like": lambda column, text: _like(column, text, "NOT LIKE"),
    "value_in": lambda column, text: _one_of(column, text, False),
    "value_not_in": lambda column, text: _one_of(column, text, True),
}


def _value(column: Column, text: str) -> Value:
    return _READERS[column.kind][1](column, text)


def _refused(column: Column) -> InvalidQuery:
    return InvalidQuery(f"invalid value for {column.name}")


def _text(column: Column, text: str) -> str:
    if "\x00" in text:  # Postgres cannot hold it, so nothing can equal it
        raise _refused(column)
    return text


def _int(column: Column, text: str) -> int:
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text) and int(text) in _INT64:
        return int(text)
    raise _refused(column)


def _float(column: Column, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _refused(column) from None


def _bool(column: Column, text: str) -> bool:
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise _refused(column)


def _timestamp(column: Column, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _refused(column) from None


def _duration(column: Column, text: str) -> int:
    try:
        nanoseconds = round(float(text) * 10**9)
    except (ValueError, OverflowError):
        parsed = parse_go_duration(text)
        if parsed is None:
            raise _refused(column) from None
        nanoseconds = parsed
    if nanoseconds not in _INT64:
        raise _refused(column)
    return nanoseconds


_READERS: Mapping[Kind, tuple[str, Callable[[Column, str], Value]]] = {
    "text": ("text", _text),
    "phase": ("text", lambda column, text: _text(column, text).upper()),
    "int": ("bigint", _int),
    "float": ("float8", _float),
    "bool": ("boolean", _bool),
    "timestamp": ("timestamptz", _timestamp),
    "duration_ns": ("bigint", _duration),
}
