"""`flightlog cache`: asked of the catalog service over the public port, told as tables."""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from flyteidl.admin.node_execution_pb2 import NodeExecutionListRequest
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console

from flightlog_cli import cached
from flightlog_cli.access import Access, open_log
from flightlog_cli.admin import ServiceCalls, open_admin, open_service
from flightlog_cli.commands.events import find
from flightlog_cli.embedded.child import StackError
from flightlog_protos.catalog.v1 import catalog_service_pb2 as catalog

_SERVICE = "flightlog.catalog.v1.CatalogService"
_AGE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_ELEMENT = re.compile(r"(.+)\[(\d{1,9})\]")
_PAGE = 1000


@dataclass(frozen=True)
class Wanted:
    """Which results a command is about, in the words of its options."""

    task: str = ""
    project: str = ""
    domain: str = ""
    version: str = ""
    task_version: str = ""
    execution: str = ""
    older_than: str = ""
    unused_for: str = ""
    pinned: bool | None = None
    results: Sequence[str] = ()

    def selection(self) -> catalog.CacheSelection:
        """As the service understands it, but for `results`. Raises `StackError` for an age that is none."""
        found = catalog.CacheSelection(
            project=self.project,
            domain=self.domain,
            name=self.task,
            cache_version=self.version,
            task_version=self.task_version,
            execution=self.execution,
            pinned=self.pinned,
        )
        if self.older_than:
            found.before.FromDatetime(_ago(self.older_than))
        if self.unused_for:
            found.unused_since.FromDatetime(_ago(self.unused_for))
        return found


async def ls(data: Path, wanted: Wanted, *, limit: int, as_json: bool) -> None:
    """Print what is cached."""
    async with open_service(data, _SERVICE) as service:
        entries = await _listed(service, wanted.selection(), limit)
    if as_json:
        _print_json([_document(entry) for entry in entries])
    elif not entries:
        typer.echo("Nothing of that kind is cached." if wanted != Wanted() else "Nothing is cached.")
    else:
        Console().print(cached.table(entries))
        if limit and len(entries) == limit:
            typer.echo(f"The {limit} newest; more with --limit.")


async def show(data: Path, result: str, *, as_json: bool) -> None:
    """Print one result and what happened to it. Raises `StackError` when there is none."""
    request = await _one(data, result)
    async with open_service(data, _SERVICE) as service:
        found = await service.GetCached(request)
    if as_json:
        _print_json(_document(found))
    else:
        cached.print_one(Console(highlight=False), found)


async def explain(data: Path, execution: str, node: str, *, as_json: bool) -> None:
    """Print why a node has the result it has. Raises `StackError` when there is no such node."""
    request = catalog.ExplainNodeRequest(node=await _node(data, execution, node))
    async with open_service(data, _SERVICE) as service:
        found = await service.ExplainNode(request)
    if as_json:
        _print_json(_document(found))
    else:
        cached.print_explanation(Console(highlight=False), found)


async def explain_all(data: Path, execution: str, _: str, *, as_json: bool) -> None:
    """Print what became of each node that clients see, but for starts and ends. Raises `StackError` without any."""
    parts = await _execution(data, execution)
    named = WorkflowExecutionIdentifier(project=parts[0], domain=parts[1], name=parts[2])
    explained: list[catalog.ExplainNodeResponse] = []
    async with open_admin(data) as admin, open_service(data, _SERVICE) as service:
        async for node in _nodes(admin, named, ""):
            asked = catalog.ExplainNodeRequest(node=catalog.NodeOrElement(node=node))
            explained.append(await service.ExplainNode(asked))
    if as_json:
        _print_json([_document(found) for found in explained])
    elif not explained:
        raise StackError(f"No node of {'/'.join(parts)} has begun.")
    else:
        cached.print_explanations(Console(highlight=False), explained)


async def evict(
    data: Path, wanted: Wanted, *, reason: str, dry_run: bool, pinned_too: bool, yes: bool, as_json: bool
) -> None:
    """Tell which results go, ask, and evict them. Raises `StackError` when none are named."""
    if as_json and not (yes or dry_run):
        raise StackError("With --json nothing is asked: say --yes or --dry-run.")
    async with open_service(data, _SERVICE) as service:
        request = catalog.EvictRequest(
            selection=await _selection(data, service, wanted), reason=reason, pinned_too=pinned_too, dry_run=True
        )
        evicted, kept = await _evict(service, request)
        if not dry_run and evicted and not yes:
            Console().print(cached.table(evicted))
            _tell_kept(kept)
            typer.confirm(f"Evict {_results(evicted)}?", abort=True)
        if not dry_run and evicted:
            # Those that were told, and no others that came meanwhile.
            request.dry_run = False
            evicted, kept = await _evict_these(service, request, evicted, kept)
    if as_json:
        _print_json({"evicted": [_document(entry) for entry in evicted], "kept": [_document(entry) for entry in kept]})
        return
    if dry_run and evicted:
        Console().print(cached.table(evicted))
    if dry_run or yes or not evicted:
        _tell_kept(kept)
    typer.echo(f"{_results(evicted)} {'would be evicted' if dry_run else 'evicted'}.")


async def pin(data: Path, wanted: Wanted, *, reason: str, unpin: bool, as_json: bool) -> None:
    """Keep results, or let them go. Raises `StackError` when none are named."""
    changed: list[catalog.CachedEntry] = []
    async with open_service(data, _SERVICE) as service:
        request = catalog.PinRequest(selection=await _selection(data, service, wanted), reason=reason, unpin=unpin)
        while True:
            answer = await service.Pin(request)
            changed.extend(answer.entries)
            request.token = answer.token
            if not answer.token:
                break
    if as_json:
        _print_json([_document(entry) for entry in changed])
    else:
        typer.echo(f"{_results(changed)} {'unpinned' if unpin else 'pinned'}.")


async def _listed(service: ServiceCalls, selection: catalog.CacheSelection, limit: int) -> list[catalog.CachedEntry]:
    found: list[catalog.CachedEntry] = []
    request = catalog.ListCachedRequest(selection=selection)
    while True:
        request.limit = min(limit - len(found), _PAGE) if limit else _PAGE
        answer = await service.ListCached(request)
        found.extend(answer.entries)
        request.token = answer.token
        if not answer.token or (limit and len(found) >= limit):
            return found


async def _evict(
    service: ServiceCalls, request: catalog.EvictRequest
) -> tuple[list[catalog.CachedEntry], list[catalog.CachedEntry]]:
    evicted: list[catalog.CachedEntry] = []
    kept: list[catalog.CachedEntry] = []
    request.token = ""
    while True:
        answer = await service.Evict(request)
        evicted.extend(answer.evicted)
        kept.extend(answer.kept)
        request.token = answer.token
        if not answer.token:
            return evicted, kept


async def _evict_these(
    service: ServiceCalls,
    request: catalog.EvictRequest,
    told: Sequence[catalog.CachedEntry],
    kept: Sequence[catalog.CachedEntry],
) -> tuple[list[catalog.CachedEntry], list[catalog.CachedEntry]]:
    evicted: list[catalog.CachedEntry] = []
    left = list(kept)
    for start in range(0, len(told), _PAGE):
        request.selection.Clear()
        request.selection.artifact_ids.extend(entry.result.artifact_id for entry in told[start : start + _PAGE])
        gone, pinned = await _evict(service, request)
        evicted.extend(gone)
        left.extend(pinned)
    return evicted, left


async def _selection(data: Path, service: ServiceCalls, wanted: Wanted) -> catalog.CacheSelection:
    selection = wanted.selection()
    for result in wanted.results:
        if _UUID.fullmatch(result):
            selection.artifact_ids.append(result)
            continue
        found = await service.GetCached(await _one(data, result))
        if not found.entry.HasField("result"):
            raise StackError(f"{result} has no result in the cache now.")
        selection.artifact_ids.append(found.entry.result.artifact_id)
    if not selection.ListFields():
        raise StackError("Say which results are meant: by name them, or by --task, --execution, --older-than, ….")
    return selection


async def _one(data: Path, result: str) -> catalog.GetCachedRequest:
    """What somebody calls a result: its id, execution/node, or its tag."""
    if _UUID.fullmatch(result):
        return catalog.GetCachedRequest(artifact_id=result)
    execution, slash, node = result.rpartition("/")
    if slash:
        return catalog.GetCachedRequest(node=await _node(data, execution, node))
    return catalog.GetCachedRequest(tag=result)


async def _node(data: Path, execution: str, node: str) -> catalog.NodeOrElement:
    project, domain, name = await _execution(data, execution)
    element = _ELEMENT.fullmatch(node)
    return catalog.NodeOrElement(
        node=NodeExecutionIdentifier(
            execution_id=WorkflowExecutionIdentifier(project=project, domain=domain, name=name),
            node_id=element[1] if element else node,
        ),
        element=int(element[2]) if element else None,
    )


async def _nodes(
    admin: AdminServiceStub, execution: WorkflowExecutionIdentifier, parent: str
) -> AsyncGenerator[NodeExecutionIdentifier]:
    """The nodes of an execution but for starts and ends, each before those inside of it."""
    request = NodeExecutionListRequest(workflow_execution_id=execution, limit=100, unique_parent_id=parent)
    while True:
        answer = await admin.ListNodeExecutions(request)
        for node in answer.node_executions:
            if node.metadata.spec_node_id not in ("start-node", "end-node"):
                yield node.id
            if node.metadata.is_parent_node:
                async for inside in _nodes(admin, execution, node.id.node_id):
                    yield inside
        request.token = answer.token
        if not answer.token:
            return


async def _execution(data: Path, execution: str) -> tuple[str, ...]:
    """Project, domain and name; what is named alone is looked for on the log."""
    parts = tuple(execution.split("/"))
    if len(parts) == 3:
        return parts
    async with open_log(Access.of(data)) as log:
        return (await find(log, execution)).parts


def _ago(age: str) -> datetime:
    found = _AGE.fullmatch(age)
    if found is None:
        raise StackError(f"{age!r} is no age: 90s, 30m, 12h, 7d, 2w.")
    return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})


def _tell_kept(kept: Sequence[catalog.CachedEntry]) -> None:
    if kept:
        typer.echo(f"{_results(kept)} kept: pinned. --pinned-too takes them too.")


def _results(entries: Sequence[catalog.CachedEntry]) -> str:
    return f"{len(entries)} result{'' if len(entries) == 1 else 's'}"


def _document(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False))
