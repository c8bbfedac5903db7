"""Queues in words, and as the messages that clients get. Pure."""

from __future__ import annotations

from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier

from flightlog_protos.execution.v1 import queue_service_pb2 as messages
from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit
from services.execution.admission.queue import Member, Queue
from services.execution.creation.limits import DOMAIN, KEY, LAUNCH_PLAN, LAUNCH_PLAN_OF, TASK


def of_limit(limit: ConcurrencyLimit) -> str:
    """What is limited: `launch plan my.plan`."""
    kind, _, rest = limit.name.partition("/")
    match kind:
        case _ if limit.name == DOMAIN:
            return "this project and domain"
        case _ if kind == LAUNCH_PLAN:
            return f"launch plan {rest}"
        case _ if kind == LAUNCH_PLAN_OF:
            project, domain, name = rest.split("/", 2)
            return f"launch plan {name} of {project}/{domain}"
        case _ if kind == TASK:
            return f"task {rest}"
        case _ if kind == KEY:
            return f"key {rest}"
        case _:
            return limit.name


def waiting_for(queue: Queue, execution: str) -> str:
    """At what place an execution waits, and for what; "" when it does not wait.

    Of its limits those are named that have no room for it, or that somebody ahead of it waits for.
    """
    member = queue.members.get(execution)
    if member is None or not member.in_line:
        return ""
    places = {limit.name: _place(queue, member, limit) for limit in member.limits}
    lacking = [limit for limit in member.limits if places[limit.name] > 1 or queue.held.get(limit.name, 0) >= limit.max]
    return ", ".join(
        f"place {places[limit.name]} of {of_limit(limit)} (at most {limit.max})" for limit in lacking or member.limits
    )


def _place(queue: Queue, member: Member, limit: ConcurrencyLimit) -> int:
    ahead = 0
    for _, execution in queue.line:
        if execution == member.execution:
            break
        ahead += any(other.name == limit.name for other in queue.members[execution].limits)
    return ahead + 1


def listed(queue: Queue, project: str, domain: str, execution: str = "") -> list[messages.Queue]:
    """A message for each limit, in order of their names; those of one execution when it is named."""
    found: dict[str, messages.Queue] = {}
    for member in sorted(queue.members.values(), key=_order):
        for limit in member.limits:
            # What is shown of a limit is what its newest execution said.
            listing = found.setdefault(limit.name, messages.Queue(project=project, domain=domain))
            listing.limit.CopyFrom(limit)
            (listing.running if member.holds else listing.waiting).append(_shown(member, project, domain))
    return [
        listing
        for _, listing in sorted(found.items())
        if not execution or any(place.execution_id.name == execution for place in (*listing.running, *listing.waiting))
    ]


def _order(member: Member) -> tuple[int, int, str]:
    since = member.since.ToNanoseconds() if member.holds else 0
    return since, member.arrived, member.execution


def _shown(member: Member, project: str, domain: str) -> messages.Place:
    identifier = WorkflowExecutionIdentifier(project=project, domain=domain, name=member.execution)
    return messages.Place(
        execution_id=identifier, since=member.since, created=member.created, reclaimed_by=member.reclaimed_by
    )
