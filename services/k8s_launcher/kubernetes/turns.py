"""Whose turn it is: project-domains one after another, within each in the order of arrival.

What is alike in all that decides whether it may go now (`shape`) stands in one line, so that finding the next costs as
much as there are shapes, however many wait.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

_Item = TypeVar("_Item", bound=Hashable)


class _Line(Generic[_Item]):
    """Items by their place in the order. What was removed stays in the heap until it comes to its top."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, _Item]] = []
        self._numbers: dict[_Item, int] = {}
        self._puts = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def put(self, item: _Item, number: int) -> None:
        self._numbers[item] = number
        self._puts += 1
        heappush(self._heap, (number, self._puts, item))

    def remove(self, item: _Item) -> None:
        del self._numbers[item]

    def first(self) -> tuple[int, _Item]:
        """Of a line that is not empty."""
        while self._numbers.get(self._heap[0][2]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0], self._heap[0][2]


class _Place(Generic[_Item]):
    def __init__(self) -> None:
        self.lines: dict[Hashable, _Line[_Item]] = {}
        self.under_way = 0


class Turns(Generic[_Item]):
    """Items that wait, by place and shape. At most `limit` of one place are under way at once; None: any number."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._places: OrderedDict[Hashable, _Place[_Item]] = OrderedDict()
        self._where: dict[_Item, tuple[Hashable, Hashable]] = {}
        self._numbers: dict[_Item, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._where)

    def put(self, place: Hashable, shape: Hashable, item: _Item) -> None:
        """Let it wait. One that waited before, and was not `forgotten` since, keeps its place in the order."""
        number = self._numbers.get(item)
        if number is None:
            number = self._numbers[item] = self._next
            self._next += 1
        known = self._place(place)
        known.lines.setdefault(shape, _Line()).put(item, number)
        self._where[item] = (place, shape)

    def remove(self, item: _Item) -> bool:
        """It waits no more, and has no place in the order any more. False when it did not wait."""
        self._numbers.pop(item, None)
        found = self._where.pop(item, None)
        if found is None:
            return False
        self._leave(item, *found)
        return True

    def take(self, may: Callable[[Hashable], bool]) -> _Item | None:
        """The next one whose shape may go; it is under way from now on (`started`)."""
        for place in list(self._places):
            known = self._places[place]
            if self.is_full(place):
                continue
            ready = [line for shape, line in known.lines.items() if may(shape)]
            if not ready:
                continue
            item = min((line.first() for line in ready), key=lambda entry: entry[0])[1]
            self._leave(item, *self._where.pop(item))
            if place in self._places:
                self._places.move_to_end(place)
            self.started(place)
            return item
        return None

    def started(self, place: Hashable) -> None:
        """One more of a place is under way."""
        self._place(place).under_way += 1

    def ended(self, place: Hashable) -> None:
        """One less of a place is under way."""
        known = self._place(place)
        known.under_way -= 1
        self._tidy(place, known)

    def forgotten(self, item: _Item) -> None:
        """It will not come back: its place in the order is nobody's."""
        self._numbers.pop(item, None)

    def is_full(self, place: Hashable) -> bool:
        """Whether as many of a place are under way as may be."""
        known = self._places.get(place)
        return known is not None and self._limit is not None and known.under_way >= self._limit

    def waits(self, item: _Item) -> bool:
        """Whether it waits."""
        return item in self._where

    def has(self, place: Hashable) -> bool:
        """Whether anything of a place waits or is under way."""
        return place in self._places

    def waiting(self) -> dict[Hashable, int]:
        """How many wait, by place."""
        return {place: sum(map(len, known.lines.values())) for place, known in self._places.items()}

    def _place(self, place: Hashable) -> _Place[_Item]:
        known = self._places.get(place)
        if known is None:
            known = self._places[place] = _Place()
        return known

    def _leave(self, item: _Item, place: Hashable, shape: Hashable) -> None:
        known = self._places[place]
        line = known.lines[shape]
        line.remove(item)
        if not line:
            del known.lines[shape]
        self._tidy(place, known)

    def _tidy(self, place: Hashable, known: _Place[_Item]) -> None:
        if not known.lines and not known.under_way:
            self._places.pop(place, None)
