"""Whose turn it is: fair between project-domains, in order within one."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable

import pytest

from services.k8s_launcher.kubernetes.turns import Turns


def anything(_: Hashable) -> bool:
    return True


def drained(turns: Turns[str]) -> list[str]:
    found: list[str] = []
    while (item := turns.take(anything)) is not None:
        found.append(item)
    return found


def test_places_take_turns_and_keep_their_order() -> None:
    turns = Turns[str]()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        turns.put(item[0], None, item)
    assert drained(turns) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_place_that_is_full_lets_the_others_go_on() -> None:
    turns = Turns[str](2)
    for item in ("a1", "a2", "a3", "b1"):
        turns.put(item[0], None, item)
    assert drained(turns) == ["a1", "b1", "a2"]
    assert turns.is_full("a")
    turns.ended("a")
    assert drained(turns) == ["a3"]


def test_shape_that_may_not_go_is_overtaken() -> None:
    turns = Turns[str]()
    turns.put("a", "large", "a1")
    turns.put("a", "small", "a2")
    assert turns.take(lambda shape: shape == "small") == "a2"
    assert turns.take(lambda shape: shape == "small") is None
    assert turns.take(anything) == "a1"


def test_one_that_is_put_back_keeps_its_place_in_the_order() -> None:
    turns = Turns[str](1)
    for item in ("a1", "a2", "a3"):
        turns.put("a", None, item)
    assert turns.take(anything) == "a1"
    turns.ended("a")
    turns.put("a", "large", "a1")
    assert turns.take(anything) == "a1"
    turns.ended("a")
    turns.put("a", None, "a1")
    assert turns.take(anything) == "a1"


def test_removed_item_waits_no_more() -> None:
    turns = Turns[str]()
    turns.put("a", None, "a1")
    assert turns.remove("a1")
    assert not turns.remove("a1")
    assert len(turns) == 0
    assert turns.take(anything) is None


@pytest.mark.parametrize("seed", range(100))
def test_history(seed: int) -> None:
    """Against the plain meaning: nothing lost, nothing twice, order kept, limits held."""
    chance = random.Random(seed)
    limit = chance.choice((None, 1, 3))
    turns = Turns[int](limit)
    waiting: dict[int, tuple[str, str]] = {}
    under_way: dict[int, str] = {}
    for number in range(400):
        match chance.choice(("put", "put", "take", "take", "end", "back", "remove")):
            case "put":
                place, shape = chance.choice("abc"), chance.choice("xy")
                waiting[number] = (place, shape)
                turns.put(place, shape, number)
            case "take":
                closed = chance.choice(("", "x", "y"))
                taken = turns.take(lambda shape, closed=closed: shape != closed)
                busy = Counter(under_way.values())
                able = {
                    place: min(item for item, (p, s) in waiting.items() if p == place and s != closed)
                    for place, shape in waiting.values()
                    if shape != closed and (limit is None or busy[place] < limit)
                }
                assert (taken is None) == (not able)
                if taken is not None:
                    place, _ = waiting.pop(taken)
                    assert able[place] == taken
                    under_way[taken] = place
            case "end" if under_way:
                item = chance.choice(list(under_way))
                turns.ended(under_way.pop(item))
                turns.forgotten(item)
            case "back" if under_way:
                item = chance.choice(list(under_way))
                waiting[item] = (under_way[item], chance.choice("xy"))
                turns.ended(under_way.pop(item))
                turns.put(*waiting[item], item)
            case "remove" if waiting:
                item = chance.choice(list(waiting))
                del waiting[item]
                assert turns.remove(item)
            case _:
                pass
        assert len(turns) == len(waiting)


def test_no_place_waits_longer_than_the_others_take_one_each() -> None:
    chance = random.Random(7)
    turns = Turns[tuple[str, int]]()
    for place in "abcdef":
        for number in range(chance.randrange(5, 50)):
            turns.put(place, None, (place, number))
    since: dict[str, int] = defaultdict(int)
    left = turns.waiting()
    while (taken := turns.take(anything)) is not None:
        left[taken[0]] -= 1
        for place, count in left.items():
            since[place] = 0 if place == taken[0] or not count else since[place] + 1
            assert since[place] < len(left)
