"""Waiting for a sequence to be visible."""

from __future__ import annotations

import asyncio

from flightlog_read.waiting import Watermark


async def test_whoever_waits_wakes_when_its_sequence_is_reached_and_not_before() -> None:
    mark = Watermark()
    third, first = mark.wait(3), mark.wait(1)
    mark.advance(2)
    assert first.done()
    assert not third.done()
    mark.advance(5)
    assert third.done()
    assert mark.sequence == 5


async def test_who_gave_up_waiting_is_passed_over() -> None:
    mark = Watermark()
    given_up, waiting = mark.wait(1), mark.wait(1)
    given_up.cancel()
    mark.advance(1)
    await asyncio.wait_for(waiting, 1)


async def test_forgetting_wakes_everybody_to_look_elsewhere() -> None:
    mark = Watermark()
    mark.advance(7)
    waiting = mark.wait(9)
    mark.forget()
    assert waiting.done()
    assert mark.sequence == Watermark.UNKNOWN


async def test_the_writer_gathers_until_somebody_waits() -> None:
    mark = Watermark()
    mark.advance(1)
    gathering = asyncio.create_task(mark.wanted(60))
    await asyncio.sleep(0)
    assert not gathering.done()
    mark.wait(2)
    await asyncio.wait_for(gathering, 1)
    await asyncio.wait_for(mark.wanted(60), 1)
