"""The ticks of a version's span: when they fire, and what is asked for then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256

from flyteidl.admin.execution_pb2 import ExecutionCreateRequest, ExecutionMetadata, ExecutionSpec
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar

from services.scheduler.schedules.expressions import Expression, read
from services.scheduler.schedules.position import Span, stamp


def expression_of(span: Span) -> Expression:
    """The ticks of a version; `text` is the schedule for people. It was usable when the version was activated."""
    return read(span.schedule, span.policy.time_zone, span.since)


def firing(span: Span) -> Callable[[datetime], datetime]:
    """When a tick fires: its nominal time, the offset, and jitter that is always the same for the same tick.

    Jitter ends where the next tick begins: ticks fire in order, and one that had to wait for another's would count as
    missed. When another version has taken over, what is left fires without jitter.
    """
    expression = expression_of(span)
    offset, most = expression.offset, span.policy.jitter.ToTimedelta()
    if span.until is not None or most <= timedelta():
        return lambda due: due + offset

    def fires(due: datetime) -> datetime:
        following = expression.next_after(due)
        longest = most if following is None else min(most, following - due)
        return due + offset + _jitter(span.launch_plan, due, longest)

    return fires


def execution_request(
    launch_plan: Identifier, due: datetime, name: str, kickoff_input: str, *, overwrite: bool = False
) -> ExecutionCreateRequest:
    """What is asked for at a tick (admin-contract §5.6). The launch plan's own defaults are the other inputs.

    Args:
        kickoff_input: name of the input that takes the nominal time; "" for none.
        overwrite: take nothing from the cache.
    """
    metadata = ExecutionMetadata(mode=ExecutionMetadata.SCHEDULED, scheduled_at=stamp(due))
    request = ExecutionCreateRequest(
        project=launch_plan.project,
        domain=launch_plan.domain,
        name=name,
        spec=ExecutionSpec(launch_plan=launch_plan, metadata=metadata, overwrite_cache=overwrite),
        inputs=LiteralMap(),
    )
    if kickoff_input:
        kickoff = Literal(scalar=Scalar(primitive=Primitive(datetime=stamp(due))))
        request.inputs.literals[kickoff_input].CopyFrom(kickoff)
    return request


def _jitter(launch_plan: Identifier, due: datetime, most: timedelta) -> timedelta:
    """Drawn by the launch plan's name and the tick: at least nothing, less than `most`."""
    text = "\0".join((launch_plan.project, launch_plan.domain, launch_plan.name, str(int(due.timestamp()))))
    drawn = int.from_bytes(sha256(text.encode()).digest()[:8], "big")
    return timedelta(microseconds=most // timedelta(microseconds=1) * drawn >> 64)


def ticks_left(span: Span) -> Iterator[datetime]:
    """Ticks of a version that have not been considered. Those of one that was replaced end with its time."""
    expression = expression_of(span)
    for due in expression.ticks(span.considered):
        if span.until is not None and due + expression.offset > span.until:
            return
        yield due
