"""The whole state of a queue as a fact, and back: so that its history need not be read from its beginning. Pure."""

from __future__ import annotations

from dataclasses import replace

from flightlog_protos.execution.v1.admission_pb2 import QueueMember, QueueStands
from services.execution.admission.queue import Member, Queue, put


def stands(queue: Queue) -> QueueStands:
    """The fact. Members come in a fixed order: the same state gives the same bytes."""
    members = sorted(queue.members.values(), key=lambda member: member.execution)
    return QueueStands(
        members=[
            QueueMember(
                execution=member.execution,
                limits=member.limits,
                arrived=member.arrived,
                since=member.since,
                created=member.created,
                holds=member.holds,
                reclaimed_by=member.reclaimed_by,
            )
            for member in members
        ],
        overtaken=queue.overtaken,
    )


def restored(fact: QueueStands) -> Queue:
    """The queue as the fact has it."""
    queue = Queue()
    for member in fact.members:
        queue = put(
            queue,
            Member(
                member.execution,
                tuple(member.limits),
                member.since,
                member.arrived,
                created=member.created,
                holds=member.holds,
                reclaimed_by=member.reclaimed_by,
            ),
        )
    return replace(queue, overtaken=fact.overtaken)
