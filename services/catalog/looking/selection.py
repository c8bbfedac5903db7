"""Which entries a caller means, and where a list goes on: requests turned into SQL with arguments. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.catalog_service_pb2 import CacheSelection
from flightlog_read import InvalidQuery, SqlWhere
from services.catalog.projection.rows import clipped

LISTED: Final = 100
"""Entries in an answer unless the caller says how many."""
MOST: Final = 1000
"""Entries in one answer at most."""

_TEXTS: Final = {
    "project": "e.project",
    "domain": "e.domain",
    "name": "e.name",
    "cache_version": "e.cache_version",
    "dataset_version": "e.dataset_version",
    "task_version": "e.task_version",
    "tag": "e.tag",
    "artifact_id": "e.artifact_id",
}
_TOKEN: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def is_empty(selection: CacheSelection) -> bool:
    """Whether nothing is selected by: such a selection is of everything."""
    return not selection.ListFields()


def where(selection: CacheSelection) -> SqlWhere:
    """The entries of a selection that have a result; the query calls them `e`.

    Raises:
        InvalidQuery: a text that no entry can have, or no moment.
    """
    found = SqlWhere("NOT e.evicted AND e.cached_at IS NOT NULL")
    for name, column in _TEXTS.items():
        value: str = getattr(selection, name)
        if "\0" in value:
            raise InvalidQuery(f"invalid value for {name}")
        if value:
            found &= SqlWhere(f"{column} = $1", (clipped(value),))
    if selection.execution:
        found &= _made_by(selection.execution)
    if selection.artifact_ids:
        found &= SqlWhere("e.artifact_id = ANY($1::text[])", ([clipped(one) for one in selection.artifact_ids],))
    if selection.HasField("pinned"):
        found &= SqlWhere("e.pinned = $1", (selection.pinned,))
    if selection.HasField("before"):
        found &= SqlWhere("e.cached_at < $1", (_moment(selection.before, "before"),))
    if selection.HasField("unused_since"):
        since = _moment(selection.unused_since, "unused_since")
        found &= SqlWhere("e.cached_at < $1", (since,))
        found &= SqlWhere(
            "NOT EXISTS (SELECT FROM catalog.uses u WHERE u.artifact_id = e.artifact_id AND u.used_at >= $1)", (since,)
        )
    return found


def page_size(limit: int, default: int) -> int:
    """How many entries an answer has at most."""
    return min(limit or default, MOST)


def token(cached_at: datetime, row: int) -> str:
    """Where a list, newest first, goes on behind a row."""
    return f"{(cached_at - _EPOCH) // timedelta(microseconds=1)}-{row}"


def behind(text: str) -> SqlWhere:
    """The rows of a list behind a token; "" is the beginning.

    Raises:
        InvalidQuery: it is no token.
    """
    if not text:
        return SqlWhere()
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise InvalidQuery(f"invalid token {text}")
    try:
        moment = _EPOCH + timedelta(microseconds=int(found[1]))
    except OverflowError:
        raise InvalidQuery(f"invalid token {text}") from None
    return SqlWhere("(e.cached_at, e.id) < ($1, $2)", (moment, int(found[2])))


def _made_by(execution: str) -> SqlWhere:
    if "\0" in execution:
        raise InvalidQuery("invalid value for execution")
    parts = execution.split("/")
    found = SqlWhere("e.source_execution = $1", (clipped(parts[-1]),))
    if len(parts) == 1:
        return found
    if len(parts) != 3:
        raise InvalidQuery("an execution is its name, or project/domain/name")
    return found & SqlWhere("e.source_project = $1 AND e.source_domain = $2", (clipped(parts[0]), clipped(parts[1])))


def _moment(stamp: Timestamp, name: str) -> datetime:
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidQuery(f"invalid value for {name}") from None
