"""A queue whose execution is deleted: it is empty, and stays so."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveriesForgotten, DeliveryQueued, HttpContent
from services.scheduler.deliveries import delivery
from services.scheduler.deliveries.delivery import Delivered, Policy, Queue

AT = Timestamp(seconds=1)


def queued(event_id: str) -> DeliveryQueued:
    return DeliveryQueued(event_id=event_id, http=HttpContent(body=event_id))


def test_nothing_waits_and_nothing_comes_in_any_more() -> None:
    queue = delivery.fold(delivery.enqueue(Queue(), [queued("a"), queued("b")]))
    forgotten = delivery.fold(delivery.forget(queue, AT), queue)
    assert delivery.head(forgotten) is None
    assert delivery.parked(forgotten) == ()
    assert delivery.enqueue(forgotten, [queued("c")]) == ()
    assert delivery.retry(forgotten, ["a"], AT) == ()
    # A try that was under way is not recorded.
    assert delivery.settle(forgotten, "a", Delivered(), datetime.now(UTC), Policy()) == ()


def test_it_is_forgotten_once() -> None:
    facts = delivery.forget(Queue(), AT)
    assert facts == (DeliveriesForgotten(occurred_at=AT),)
    assert delivery.forget(delivery.fold(facts), AT) == ()
