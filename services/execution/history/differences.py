"""Where two executions went different ways: their runs laid beside each other, path by path. Pure.

What a difference comes from is told from what the log has: inputs that were others already, a node inside, or a failure
that left others unfinished. What none of these explains is where the two parted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flyteidl.admin.execution_pb2 import ExecutionMetadata
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.json_format import MessageToDict

from flightlog_protos.execution.v1.facts_pb2 import ResolvedConfig
from flightlog_protos.history.v1.differences_pb2 import Difference
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_types.literal_texts import shortened
from services.execution.engine import NodePhase
from services.execution.history.runs import NodeRun, Run
from services.execution.history.values import shown, unlike

GROSSLY: Final = 4.0
"""How many times longer something must have taken to be told, …"""
SECONDS: Final = 10.0
"""… and how much longer it must have taken at least, in seconds."""
MOST: Final = 1000
"""Differences that are told one by one."""

_TEXT: Final = 300
# Said elsewhere, or another in every execution.
_OWN_WORDS: Final = frozenset({"launch_plan", "metadata_prefix", "raw_output_prefix", "parallelism_root"})
_UNFINISHED: Final = frozenset({NodePhase.ABORTED, NodePhase.SKIPPED})
_FAILED: Final = frozenset({NodePhase.FAILED, NodePhase.TIMED_OUT, NodePhase.FAILING})
# What is only told, and explains nothing.
_BY_THE_WAY: Final = frozenset({"duration"})


@dataclass(frozen=True, slots=True)
class Data:
    """What references stand for, as far as it was read."""

    literals: Mapping[str, LiteralMap] = field(default_factory=dict[str, LiteralMap])
    """By uri. What is missing was too large, or is gone: only its hash is compared."""
    contents: Mapping[str, str] = field(default_factory=dict[str, str])
    """By address of what lies outside of literals: a text that is the same for the same bytes."""


def unlike_data(before: Run, after: Run) -> Iterator[tuple[DataRef, DataRef]]:
    """Inputs and outputs that differ by hash, the earliest first: what is to be read to say how."""
    pairs: list[tuple[DataRef | None, DataRef | None]] = [
        (before.created.inputs, after.created.inputs),
        (before.outputs, after.outputs),
    ]
    for path, ours in before.nodes.items():
        theirs = after.nodes.get(path)
        if theirs is not None:
            pairs += [(ours.inputs, theirs.inputs), (ours.outputs, theirs.outputs)]
    for one, other in pairs:
        if one is not None and other is not None and not _same(one, other):
            yield one, other


def differences(before: Run, after: Run, data: Data) -> list[Difference]:
    """What differs: first the executions as such, then nodes in the order in which the first execution queued them."""
    begun = [*_beginnings(before, after, data)]
    nodes = [*_nodes(before, after, data)]
    ended = [*_ends(before, after, data)]
    _mark(begun, nodes, ended, before, after)
    found = begun + ended + nodes
    if len(found) > MOST:
        rest = len(found) - MOST
        del found[MOST:]
        found.append(Difference(kind="more", name=str(rest)))
    return found


def _beginnings(before: Run, after: Run, data: Data) -> Iterator[Difference]:
    """What they were begun with."""
    ours, theirs = before.created, after.created
    if ours.workflow_id != theirs.workflow_id:
        yield Difference(kind="workflow", before=_named(ours.workflow_id), after=_named(theirs.workflow_id))
    elif ours.closure.sha256 != theirs.closure.sha256:
        yield Difference(kind="workflow", before=ours.closure.sha256.hex(), after=theirs.closure.sha256.hex())
    if ours.config.launch_plan != theirs.config.launch_plan:
        plans = (_named(ours.config.launch_plan), _named(theirs.config.launch_plan))
        yield Difference(kind="launch_plan", before=plans[0], after=plans[1])
    yield from _data("", "input", ours.inputs, theirs.inputs, data)
    settings, others = _settings(before), _settings(after)
    for name in sorted(settings.keys() | others.keys()):
        if settings.get(name) != others.get(name):
            yield Difference(kind="setting", name=name, before=settings.get(name, ""), after=others.get(name, ""))


def _ends(before: Run, after: Run, data: Data) -> Iterator[Difference]:
    """What came of them."""
    if before.phase != after.phase:
        yield Difference(kind="phase", before=before.phase, after=after.phase)
    if _abort(before) != _abort(after) or _essence(before.error, before) != _essence(after.error, after):
        ours, theirs = _abort(before) or _error(before.error), _abort(after) or _error(after.error)
        yield Difference(kind="error", before=ours, after=theirs)
    if before.outputs is not None and after.outputs is not None:
        yield from _data("", "output", before.outputs, after.outputs, data)
    yield from _durations("", before.seconds, after.seconds)


def _nodes(before: Run, after: Run, data: Data) -> Iterator[Difference]:
    """Those of both, those of the first alone; at last those of the second alone."""
    for path, ours in before.nodes.items():
        theirs = after.nodes.get(path)
        if theirs is not None:
            yield from _node(before, after, ours, theirs, data)
        elif ours.parent not in before.nodes or ours.parent in after.nodes:
            yield Difference(kind="missing", node=path, before=ours.phase.name)
    for path, theirs in after.nodes.items():
        if path not in before.nodes and (theirs.parent not in after.nodes or theirs.parent in before.nodes):
            yield Difference(kind="added", node=path, after=theirs.phase.name)


def _node(before: Run, after: Run, ours: NodeRun, theirs: NodeRun, data: Data) -> Iterator[Difference]:
    path = ours.path
    if not _same_task(before, ours, after, theirs):
        yield Difference(kind="task", node=path, before=_task(ours), after=_task(theirs))
    if ours.inputs is not None and theirs.inputs is not None:
        yield from _data(path, "input", ours.inputs, theirs.inputs, data)
    if ours.taken != theirs.taken:
        yield Difference(kind="branch", node=path, before=ours.taken, after=theirs.taken)
    if ours.cache != theirs.cache:
        yield Difference(kind="cache", node=path, before=ours.cache or "", after=theirs.cache or "")
    if ours.attempts != theirs.attempts:
        yield Difference(kind="attempts", node=path, before=str(ours.attempts), after=str(theirs.attempts))
    if ours.phase is not theirs.phase:
        yield Difference(kind="phase", node=path, before=ours.phase.name, after=theirs.phase.name)
    if _essence(ours.error, before) != _essence(theirs.error, after):
        yield Difference(kind="error", node=path, before=_error(ours.error), after=_error(theirs.error))
    if ours.outputs is not None and theirs.outputs is not None:
        yield from _data(path, "output", ours.outputs, theirs.outputs, data)
    yield from _durations(path, ours.seconds, theirs.seconds)


def _data(node: str, kind: str, before: DataRef, after: DataRef, data: Data) -> Iterator[Difference]:
    if _same(before, after):
        return
    ours, theirs = data.literals.get(before.uri), data.literals.get(after.uri)
    if ours is None or theirs is None:
        if before.sha256 and after.sha256:
            yield Difference(kind=kind, node=node, before=_hashed(before), after=_hashed(after))
        return
    for name, one, other in unlike(ours, theirs, data.contents):
        yield Difference(kind=kind, node=node, name=name, before=shown(one), after=shown(other))


def _durations(node: str, before: float | None, after: float | None) -> Iterator[Difference]:
    if before is None or after is None:
        return
    shorter, longer = sorted((before, after))
    if longer - shorter >= SECONDS and longer >= GROSSLY * shorter:
        yield Difference(kind="duration", node=node, before=f"{before:.1f} s", after=f"{after:.1f} s")


def _mark(
    begun: Iterable[Difference], nodes: list[Difference], ended: list[Difference], before: Run, after: Run
) -> None:
    """Says where the two parted. Where everything could come from something else, that is the earliest of all."""
    begun = list(begun)
    for difference in begun:
        difference.first = True
    by_node: dict[str, list[Difference]] = {}
    for difference in nodes:
        if difference.kind not in _BY_THE_WAY:
            by_node.setdefault(difference.node, []).append(difference)
    parted = _parted(by_node, before, after)
    for node in parted:
        # What a node was run with says more than what came of it.
        by_node[node][0].first = True
    telling = [difference for difference in ended if difference.kind not in _BY_THE_WAY]
    if begun or parted:
        return
    for difference in [found[0] for found in by_node.values()][:1] or telling[:1]:
        difference.first = True


def _parted(by_node: Mapping[str, list[Difference]], before: Run, after: Run) -> list[str]:
    """The nodes of which nothing else explains what differs, neither what they were given nor a node inside them."""
    others = {node for node, found in by_node.items() if any(difference.kind == "input" for difference in found)}
    ours_stopped, theirs_stopped = _stopped(before), _stopped(after)
    parted: set[str] = set()
    around: set[str] = set()
    for node in sorted(by_node, key=lambda path: path.count("/"), reverse=True):
        ours, theirs = before.nodes.get(node), after.nodes.get(node)
        if ours is None or theirs is None or node in around:
            # It is there because another node took another way, or the workflow is another one.
            continue
        # An element reads the inputs of its array.
        given = {node, *_above(node)}
        finished = not _unfinished(ours, stopped=ours_stopped) and not _unfinished(theirs, stopped=theirs_stopped)
        if finished and not given & others:
            parted.add(node)
            around.update(_above(node))
    return [node for node in by_node if node in parted]


def _above(path: str) -> Iterator[str]:
    """The paths of the nodes around a node."""
    while path := path.rpartition("/")[0]:
        yield path


def _stopped(run: Run) -> bool:
    """Whether there is a reason for nodes not to end by themselves: one failed, or somebody ended the execution."""
    return run.abort is not None or any(node.phase in _FAILED for node in run.nodes.values())


def _unfinished(node: NodeRun, *, stopped: bool) -> bool:
    """Whether a node did not end by itself, or still runs. `stopped`: see `_stopped`."""
    if node.phase in _UNFINISHED:
        return stopped
    return not node.phase.terminal and node.phase is not NodePhase.FAILING


def _settings(run: Run) -> dict[str, str]:
    """What holds for a run, leaf by leaf."""
    created = run.created
    config = ResolvedConfig()
    config.CopyFrom(created.config)
    for name in _OWN_WORDS:
        config.ClearField(name)  # pyright: ignore[reportArgumentType] - names of its fields
    found = dict(_leaves("", MessageToDict(config, preserving_proto_field_name=True)))
    spec = created.spec
    if spec.HasField("security_context"):
        found |= dict(_leaves("security_context", MessageToDict(spec.security_context)))
    found["mode"] = ExecutionMetadata.ExecutionMode.Name(spec.metadata.mode)
    if spec.raw_output_data_config.output_location_prefix:
        found["raw_output_prefix"] = spec.raw_output_data_config.output_location_prefix
    return found


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                yield from _leaves(f"{name}.{key}" if name else str(key), item)  # pyright: ignore[reportUnknownArgumentType]
        case list():
            yield name, shortened(", ".join(map(str, value)), _TEXT)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            yield name, shortened(str(value), _TEXT)


def _same(before: DataRef, after: DataRef) -> bool:
    return before.uri == after.uri or (bool(before.sha256) and before.sha256 == after.sha256)


def _hashed(ref: DataRef) -> str:
    return f"{ref.size_bytes} bytes, SHA-256 {ref.sha256.hex()}"


def _same_task(before: Run, ours: NodeRun, after: Run, theirs: NodeRun) -> bool:
    """Whether they ran the same task; versions that both tasks share with their workflows are told of these."""
    one, other = ours.task, theirs.task
    if one is None or other is None or one == other:
        return one == other
    if (one.project, one.domain, one.name) != (other.project, other.domain, other.name):
        return False
    return one.version == before.created.workflow_id.version and other.version == after.created.workflow_id.version


def _task(node: NodeRun) -> str:
    return "" if node.task is None else _named(node.task)


def _named(identifier: Identifier) -> str:
    return f"{identifier.project}/{identifier.domain}/{identifier.name}@{identifier.version}"


def _abort(run: Run) -> str:
    if run.abort is None:
        return ""
    whom = f" ({run.abort.principal})" if run.abort.principal else ""
    return shortened(f"ABORTED: {run.abort.cause}{whom}", _TEXT)


def _error(error: ExecutionError | None) -> str:
    if error is None or not (error.code or error.message):
        return ""
    kind = ExecutionError.ErrorKind.Name(error.kind)
    return shortened(f"{kind} {error.code}: {_last_line(error)}", _TEXT)


def _essence(error: ExecutionError | None, run: Run) -> tuple[int, str, str] | None:
    """What two errors have in common that are the same."""
    if error is None:
        return None
    return error.kind, error.code, _last_line(error).replace(run.created.id.name, "")


def _last_line(error: ExecutionError) -> str:
    """Of its message: above that stand traces, with places of their own."""
    lines = [line for line in error.message.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
