"""Results of the cache as tables and lines for people. Pure but for printing."""

from collections.abc import Sequence
from datetime import UTC

from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flightlog_protos.catalog.v1.catalog_service_pb2 import (
    CachedEntry,
    ExplainNodeResponse,
    GetCachedResponse,
)
from services.catalog.looking import values
from services.catalog.looking.keys import entity_name

_USERS = 10


def table(entries: Sequence[CachedEntry]) -> Table:
    """Results, one a row; project and domain only where they are not all the same."""
    shown = Table(box=None, pad_edge=False)
    places = {(entry.key.dataset.project, entry.key.dataset.domain) for entry in entries}
    for name in ("result", "in", "of", "version", "made by", "at", "used", "last used", ""):
        if name != "in" or len(places) > 1:
            shown.add_column(name, justify="right" if name == "used" else "left", overflow="fold")
    for entry in entries:
        dataset = entry.key.dataset
        shown.add_row(
            entry.result.artifact_id,
            *([Text(f"{dataset.project}/{dataset.domain}")] if len(places) > 1 else []),
            Text(whose(entry)),
            Text(entry.cache_version),
            Text(maker(entry).removeprefix(f"{dataset.project}/{dataset.domain}/")),
            clock(entry.cached_at),
            str(entry.uses),
            clock(entry.last_used_at) if entry.HasField("last_used_at") else "",
            "pinned" if entry.pinned else "",
        )
    return shown


def print_one(console: Console, found: GetCachedResponse) -> None:
    """One entry: what it has, who has to do with it, and its history."""
    entry = found.entry
    dataset = entry.key.dataset
    console.print(Text(f"{whose(entry)} {entry.cache_version}  {dataset.project}/{dataset.domain}", "bold"))
    rows = [("dataset", f"{dataset.name} {dataset.version}"), ("tag", entry.key.tag)]
    if entry.HasField("result"):
        rows += [
            ("result", entry.result.artifact_id + ("  pinned" if entry.pinned else "")),
            ("made", f"{clock(entry.cached_at)} by {maker(entry)}{_task_version(entry)}"),
            ("used", _used(found)),
            ("inputs", _values(found.inputs) if found.HasField("inputs") else "not known any more"),
            ("outputs", _values(found.outputs) if found.HasField("outputs") else f"{entry.result.outputs.uri} is gone"),
        ]
    else:
        rows.append(("result", "none now"))
    if entry.reserved_by:
        rows.append(("reserved", f"{entry.reserved_by} is making one"))
    for name, value in rows:
        console.print(Text(f"  {name:<8} {value}"), soft_wrap=True)
    happened = Table(box=None, pad_edge=False)
    for column in ("when", "what", "who", "about", "why"):
        happened.add_column(column, overflow="fold")
    for event in found.history:
        happened.add_row(
            clock(event.occurred_at), event.what, Text(event.actor), Text(event.subject), Text(event.reason)
        )
    console.print(happened)


def print_explanation(console: Console, found: ExplainNodeResponse) -> None:
    """Why a node has the result it has: a sentence, and by what its key differs from the nearest one."""
    status = CatalogCacheStatus.Name(found.status)
    console.print(Text(f"{node_name(found.node)}: {status}", "bold"))
    console.print(Text(found.reason), soft_wrap=True)
    if found.differences:
        parts = Table(box=None, pad_edge=False)
        for column in ("part", "here", "there"):
            parts.add_column(column, overflow="fold")
        for difference in found.differences:
            parts.add_row(Text(difference.part), Text(difference.wanted), Text(difference.found))
        console.print(parts)
    if found.HasField("nearest"):
        nearest = found.nearest
        console.print(
            Text(f"there: result {nearest.result.artifact_id}, made {clock(nearest.cached_at)} by {maker(nearest)}"),
            soft_wrap=True,
        )


def print_explanations(console: Console, explained: Sequence[ExplainNodeResponse]) -> None:
    """The nodes of one execution, a line each."""
    shown = Table(box=None, pad_edge=False)
    for column in ("node", "cache", "why"):
        shown.add_column(column, overflow="fold")
    for found in explained:
        status = CatalogCacheStatus.Name(found.status).removeprefix("CACHE_").lower().replace("_", " ")
        shown.add_row(Text(found.node.node_id), status, Text(found.reason))
    console.print(shown)


def whose(entry: CachedEntry) -> str:
    """The task, workflow or launch plan that it is a result of; of a client's own key the key."""
    return entity_name(entry.key) or entry.key.tag


def maker(entry: CachedEntry) -> str:
    """Who made a result, as `execution/node`."""
    source = entry.result.source.node_execution_id
    return node_name(source) if source.node_id else "a client outside"


def node_name(node: NodeExecutionIdentifier) -> str:
    """A node as the commands take it."""
    execution = node.execution_id
    return f"{execution.project}/{execution.domain}/{execution.name}/{node.node_id}"


def clock(moment: Timestamp) -> str:
    """A moment in this machine's time zone."""
    return f"{moment.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _used(found: GetCachedResponse) -> str:
    uses = found.entry.uses
    if not uses:
        return "never"
    times = "once" if uses == 1 else f"{uses} times"
    return f"{times}, by {_listed([node_name(user.node) for user in found.users], uses)}"


def _listed(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names[:_USERS])
    return f"{shown} and {count - _USERS} more" if count > _USERS else shown


def _task_version(entry: CachedEntry) -> str:
    version = entry.result.source.task_id.version
    return f", task version {version}" if version else ""


def _values(literals: LiteralMap) -> str:
    found = literals.literals
    return ", ".join(f"{name} = {values.text(found[name])}" for name in sorted(found)) or "none"
