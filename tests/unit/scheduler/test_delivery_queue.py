"""A queue of deliveries: strictly in order, each at least once or parked, whatever fails, dies or comes twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryFailed, DeliveryQueued, HttpContent
from services.scheduler.deliveries import delivery
from services.scheduler.deliveries.delivery import Delivered, Failed, Item, Outcome, Policy, Queue, State

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
AT = Timestamp(seconds=int(BEGIN.timestamp()))
POLICY = Policy(most_tries=4)


def queued(event_id: str, *, replay: bool = False) -> DeliveryQueued:
    return DeliveryQueued(event_id=event_id, http=HttpContent(body=event_id), replay=replay)


@dataclass
class World:
    """A queue and its history, a receiver, and a clock."""

    queue: Queue = field(default_factory=Queue)
    history: list[Message] = field(default_factory=list[Message])
    received: list[str] = field(default_factory=list[str])
    now: datetime = BEGIN

    def record(self, facts: Sequence[Message]) -> Sequence[Message]:
        self.history += facts
        self.queue = delivery.fold(facts, self.queue)
        assert self.queue == delivery.fold(self.history)
        return facts

    def enqueue(self, *event_ids: str, replay: bool = False) -> int:
        return len(self.record(delivery.enqueue(self.queue, [queued(one, replay=replay) for one in event_ids])))

    def retry(self, *event_ids: str) -> int:
        return len(self.record(delivery.retry(self.queue, event_ids, AT)))

    def due(self) -> Item | None:
        item = delivery.head(self.queue)
        return None if item is None or (item.next_try is not None and item.next_try > self.now) else item

    def settle(self, event_id: str, outcome: Outcome) -> Sequence[Message]:
        return self.record(delivery.settle(self.queue, event_id, outcome, self.now, POLICY))

    def send(self, outcome: Outcome, *, dies: bool = False) -> str:
        """What a sender does; returns what was sent."""
        item = self.due()
        if item is None:
            return ""
        assert item.queued is not None
        event_id = item.queued.event_id
        if isinstance(outcome, Delivered):
            self.received.append(event_id)
        if not dies:
            self.settle(event_id, outcome)
        return event_id

    def state(self, event_id: str) -> State:
        return self.queue.items[event_id].state


def test_the_first_is_tried_until_it_is_delivered_and_only_then_the_next() -> None:
    world = World()
    world.enqueue("a", "b")
    for pause in (1, 2, 4):
        assert world.send(Failed("away")) == "a"
        assert world.send(Delivered()) == ""
        world.now += timedelta(seconds=pause)
    assert [world.send(Delivered()), world.send(Delivered()), world.send(Delivered())] == ["a", "b", ""]
    assert world.received == ["a", "b"]


def test_what_fails_too_often_is_parked_and_holds_nobody_up() -> None:
    world = World()
    world.enqueue("a", "b")
    for _ in range(POLICY.most_tries):
        world.now += timedelta(minutes=5)
        assert world.send(Failed("away")) == "a"
    assert world.state("a") is State.PARKED
    assert world.send(Delivered()) == "b"


def test_a_final_failure_parks_at_once() -> None:
    world = World()
    world.enqueue("a", "b")
    world.send(Failed("answered 404", final=True))
    assert (world.state("a"), world.send(Delivered())) == (State.PARKED, "b")


def test_a_retried_one_is_the_last_and_has_all_its_tries_again() -> None:
    world = World()
    world.enqueue("a", "b")
    world.send(Failed("no", final=True))
    assert (world.retry("a", "b", "c"), world.retry("a")) == (1, 0)
    assert [world.send(Delivered()), world.send(Failed("away"))] == ["b", "a"]
    assert world.queue.items["a"].tries == 1


def test_an_event_is_queued_once_and_replayed_only_when_it_is_over() -> None:
    world = World()
    assert (world.enqueue("a", "a"), world.enqueue("a"), world.enqueue("a", replay=True)) == (1, 0, 0)
    world.send(Delivered())
    assert (world.enqueue("a"), world.enqueue("a", replay=True)) == (0, 1)
    world.enqueue("b")
    assert [world.send(Delivered()), world.send(Delivered())] == ["a", "b"]
    assert world.received == ["a", "a", "b"]


def test_a_replay_of_what_was_never_queued_is_queued() -> None:
    world = World()
    assert world.enqueue("a", replay=True) == 1
    assert world.send(Delivered()) == "a"


def test_recipients_who_were_reached_are_left_out_of_further_tries_but_not_of_a_replay() -> None:
    world = World()
    world.enqueue("a")
    world.send(Failed("one is busy", reached=frozenset({"x@h"})))
    world.now += timedelta(seconds=1)
    world.send(Failed("no such user", final=True, reached=frozenset({"y@h"})))
    assert world.queue.items["a"].reached == {"x@h", "y@h"}
    world.retry("a")
    assert world.queue.items["a"].reached == {"x@h", "y@h"}
    world.send(Failed("no such user", final=True))
    world.enqueue("a", replay=True)
    assert world.queue.items["a"].reached == frozenset()


def test_what_another_process_has_settled_is_settled() -> None:
    world = World()
    world.enqueue("a")
    world.settle("a", Delivered())
    assert not world.settle("a", Failed("away"))
    assert not world.settle("nobody", Delivered())


@pytest.mark.parametrize(
    ("tries", "asked", "seconds"),
    [
        (1, None, 1),
        (2, None, 2),
        (9, None, 256),
        (10, None, 300),
        *((tries, None, 300) for tries in (48, 62, 63, 64, 10_000)),
        (1, 40, 40),
        (9, 40, 256),
        (1, 10**9, 86400),
        (1, 0, 1),
    ],
)
def test_pauses_double_and_are_never_shorter_than_the_receiver_asks(
    tries: int, asked: int | None, seconds: int
) -> None:
    wanted = None if asked is None else timedelta(seconds=asked)
    assert delivery.pause(Policy(), tries, wanted) == timedelta(seconds=seconds)


def test_a_failed_try_says_when_the_next_one_comes() -> None:
    world = World()
    world.enqueue("a")
    (fact,) = world.settle("a", Failed("answered 429", pause=timedelta(seconds=77)))
    assert isinstance(fact, DeliveryFailed)
    assert fact.next_try_at.ToDatetime(UTC) == BEGIN + timedelta(seconds=77)
    assert (fact.tries, fact.reason) == (1, "answered 429")


events = st.sampled_from("abcdef")
outcomes = st.one_of(
    st.just(Delivered()),
    st.builds(Failed, st.just("away"), pause=st.none() | st.timedeltas(timedelta(), timedelta(minutes=9))),
    st.just(Failed("gone", final=True)),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("queue"), st.lists(events, min_size=1, max_size=3)),
        st.tuples(st.just("replay"), events),
        st.tuples(st.just("retry"), events),
        st.tuples(st.just("send"), outcomes),
        st.tuples(st.just("send and die"), outcomes),
        st.tuples(st.just("another begins"), outcomes),
        st.tuples(st.just("another ends"), st.none()),
        st.tuples(st.just("time"), st.timedeltas(timedelta(), timedelta(minutes=6))),
    ),
    max_size=60,
)


@given(steps)
def test_each_is_delivered_at_least_once_or_parked_in_order_and_under_its_own_id(
    drawn: list[tuple[str, object]],
) -> None:
    world = World()
    first_queued: list[str] = []
    shaken: set[str] = set()  # parked, retried or replayed: these lose their places
    elsewhere: list[tuple[str, Outcome]] = []
    for what, value in drawn:
        if what == "queue":
            assert isinstance(value, list)
            first_queued += [one for one in dict.fromkeys(value) if one not in world.queue.items]
            world.enqueue(*value)
        elif what == "replay":
            if value not in world.queue.items:
                first_queued.append(str(value))
            elif world.enqueue(str(value), replay=True):
                shaken.add(str(value))
                continue
            world.enqueue(str(value), replay=True)
        elif what == "retry":
            world.retry(str(value))
        elif what == "time":
            assert isinstance(value, timedelta)
            world.now += value
        elif what == "another ends" and elsewhere:
            event_id, outcome = elsewhere.pop(0)
            world.settle(event_id, outcome)
        elif isinstance(value, Delivered | Failed):
            waiting = {item.place: one for one, item in world.queue.items.items() if item.state is State.WAITING}
            sent = world.send(value, dies=what != "send")
            assert not sent or sent == waiting[min(waiting)]
            if what == "another begins" and sent:
                elsewhere.append((sent, value))
        shaken |= {one for one, item in world.queue.items.items() if item.state is State.PARKED}
        assert all(
            item.tries < POLICY.most_tries or item.state is not State.WAITING for item in world.queue.items.values()
        )
    for event_id, outcome in elsewhere:
        world.settle(event_id, outcome)
    while delivery.head(world.queue) is not None:
        world.now += timedelta(days=1)
        world.send(Delivered())
    shaken |= {one for one, item in world.queue.items.items() if item.state is State.PARKED}
    for event_id, item in world.queue.items.items():
        assert item.state is State.PARKED or event_id in world.received
    assert set(world.received) <= set(first_queued)
    firsts = [one for one in dict.fromkeys(world.received) if one not in shaken]
    assert firsts == [one for one in first_queued if one not in shaken]
