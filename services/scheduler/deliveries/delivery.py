"""A queue of deliveries: what one sink is to be told about one execution. Pure: no input or output, no clock.

Strictly in order: the first that waits is tried until it is delivered or parked, and only then the next. A parked one
does not hold up those behind it; when it is tried again it is the last in the queue. Every event is in a queue once,
under its id, so whoever queues it twice has queued it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from immutables import Map

from flightlog_protos.scheduler.v1.deliveries_pb2 import (
    DeliveriesForgotten,
    DeliveryFailed,
    DeliveryMade,
    DeliveryParked,
    DeliveryQueued,
    DeliveryRetried,
)


class State(Enum):
    """How far a delivery is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery in its queue."""

    state: State
    place: int
    """Its place in the order; a later one is tried later."""
    queued: DeliveryQueued | None
    """None once it is delivered: what was said is not needed any more."""
    tries: int = 0
    """Failed tries since it was queued, retried or replayed."""
    next_try: datetime | None = None
    reached: frozenset[str] = frozenset()
    """Recipients who have got it."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The fold of a queue's facts."""

    items: Map[str, Item] = Map()  # noqa: RUF009  # immutable
    order: Map[int, str] = Map()  # noqa: RUF009  # immutable
    """Event ids of those that wait, by place."""
    first: int = 0
    """No place before this one waits."""
    last: int = 0
    forgotten: bool = False
    """Its execution is deleted."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and when a failed delivery is tried again."""

    most_tries: int = 30
    first_pause: timedelta = timedelta(seconds=1)
    """After the first failure; doubles with every further one."""
    longest_pause: timedelta = timedelta(minutes=5)
    longest_asked: timedelta = timedelta(days=1)
    """A receiver that asks for a longer pause than this gets this one."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A try that worked, with what the receiver said."""

    answer: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A try that did not work.

    Attributes:
        final: no further try would end otherwise.
        pause: what the receiver asked to wait.
        reached: recipients who have got it all the same.
    """

    reason: str
    final: bool = False
    pause: timedelta | None = None
    reached: frozenset[str] = frozenset()


Outcome = Delivered | Failed


def evolve(queue: Queue, fact: Message) -> Queue:
    """The queue after one more fact; one of a kind this release does not know changes nothing."""
    match fact:
        case DeliveryQueued():
            return _behind_all(queue, fact.event_id, fact)
        case DeliveryRetried():
            return _behind_all(queue, fact.event_id, queue.items[fact.event_id].queued)
        case DeliveryFailed():
            item = queue.items[fact.event_id]
            failed = replace(
                item,
                tries=fact.tries,
                next_try=fact.next_try_at.ToDatetime(UTC),
                reached=item.reached.union(fact.reached),
            )
            return replace(queue, items=queue.items.set(fact.event_id, failed))
        case DeliveryMade():
            item = replace(queue.items[fact.event_id], state=State.DELIVERED, queued=None, next_try=None)
            return _done(queue, fact.event_id, item)
        case DeliveryParked():
            item = queue.items[fact.event_id]
            parked = replace(
                item,
                state=State.PARKED,
                tries=fact.tries,
                next_try=None,
                reached=item.reached.union(fact.reached),
            )
            return _done(queue, fact.event_id, parked)
        case DeliveriesForgotten():
            return Queue(forgotten=True)
        case _:
            return queue


def fold(history: Iterable[Message], queue: Queue | None = None) -> Queue:
    """The queue after a history from its beginning, or from where `queue` is."""
    queue = Queue() if queue is None else queue
    for fact in history:
        queue = evolve(queue, fact)
    return queue


def head(queue: Queue) -> Item | None:
    """What is to be tried next; None when nothing waits."""
    event_id = queue.order.get(queue.first)
    return None if event_id is None else queue.items[event_id]


def parked(queue: Queue) -> tuple[str, ...]:
    """Event ids of what is parked, in their order."""
    found = ((item.place, event_id) for event_id, item in queue.items.items() if item.state is State.PARKED)
    return tuple(event_id for _, event_id in sorted(found))


def enqueue(queue: Queue, deliveries: Sequence[DeliveryQueued]) -> tuple[Message, ...]:
    """What follows from deliveries that are to be made: those that are not in the queue yet, and of replays all but
    those that still wait.
    """
    facts: list[Message] = []
    if queue.forgotten:
        return ()
    for fact in deliveries:
        known = queue.items.get(fact.event_id)
        if known is None or (fact.replay and known.state is not State.WAITING):
            facts.append(fact)
            queue = evolve(queue, fact)
    return tuple(facts)


def retry(queue: Queue, event_ids: Iterable[str], at: Timestamp) -> tuple[Message, ...]:
    """What follows from asking for further tries: the parked ones among them wait again."""
    wanted = frozenset(event_ids)
    return tuple(DeliveryRetried(event_id=event_id, occurred_at=at) for event_id in parked(queue) if event_id in wanted)


def forget(queue: Queue, at: Timestamp) -> tuple[Message, ...]:
    """What follows from the deletion of its execution; nothing, the second time."""
    return () if queue.forgotten else (DeliveriesForgotten(occurred_at=at),)


def settle(queue: Queue, event_id: str, outcome: Outcome, at: datetime, policy: Policy) -> tuple[Message, ...]:
    """What follows from a try. Nothing, when the delivery is over already: another process was quicker.

    Args:
        at: when the try ended.
    """
    item = queue.items.get(event_id)
    if item is None or item.state is not State.WAITING:
        return ()
    occurred_at, tries = _stamp(at), item.tries + 1
    if isinstance(outcome, Delivered):
        return (DeliveryMade(event_id=event_id, tries=tries, answer=outcome.answer, occurred_at=occurred_at),)
    reached = sorted(outcome.reached)
    if outcome.final or tries >= policy.most_tries:
        return (
            DeliveryParked(
                event_id=event_id, tries=tries, reason=outcome.reason, reached=reached, occurred_at=occurred_at
            ),
        )
    return (
        DeliveryFailed(
            event_id=event_id,
            tries=tries,
            reason=outcome.reason,
            next_try_at=_stamp(at + pause(policy, tries, outcome.pause)),
            reached=reached,
            occurred_at=occurred_at,
        ),
    )


def pause(policy: Policy, tries: int, asked: timedelta | None) -> timedelta:
    """How long to wait after so many failed tries: doubling, and never less than the receiver asked for."""
    doublings = 2 ** min(tries - 1, 62)
    # What is too long to be a timedelta is not computed.
    grows = policy.first_pause < policy.longest_pause / doublings
    doubling = policy.first_pause * doublings if grows else policy.longest_pause
    return doubling if asked is None else max(doubling, min(asked, policy.longest_asked))


def _behind_all(queue: Queue, event_id: str, queued: DeliveryQueued | None) -> Queue:
    # Once parked, an e-mail that has reached some is for the others; a replay is for all.
    known = queue.items.get(event_id)
    reached = known.reached if known is not None and queued is known.queued else frozenset[str]()
    item = Item(State.WAITING, queue.last, queued, reached=reached)
    order = queue.order.set(queue.last, event_id)
    return replace(queue, items=queue.items.set(event_id, item), order=order, last=queue.last + 1)


def _done(queue: Queue, event_id: str, item: Item) -> Queue:
    order = queue.order.delete(item.place) if item.place in queue.order else queue.order
    first = queue.first
    while first < queue.last and first not in order:
        first += 1
    return replace(queue, items=queue.items.set(event_id, item), order=order, first=first)


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
