"""Reactions to what one decision asks for, side by side."""

import asyncio
from functools import partial

import pytest

from services.execution.side_by_side import side_by_side


async def test_thousands_of_reactions_take_turns_and_all_are_through() -> None:
    running, most, through = 0, 0, list[int]()

    async def react(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        through.append(number)

    await side_by_side(partial(react, number) for number in range(1000))
    assert sorted(through) == list(range(1000))
    assert 1 < most < 100


async def test_the_first_failure_is_raised_when_nothing_runs_any_more() -> None:
    through: list[int] = []

    async def react(number: int) -> None:
        await asyncio.sleep(0)
        if number in (1, 2):
            raise ValueError(number)
        through.append(number)

    with pytest.raises(ValueError, match="1"):
        await side_by_side(partial(react, number) for number in range(5))
    assert through == [0, 3, 4]
