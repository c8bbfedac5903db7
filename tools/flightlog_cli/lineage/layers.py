"""Where the boxes of a graph go in a picture: in columns from left to right, as the data goes. Pure.

Every box stands right of those that it gets something from. An edge over several columns is led through each of them,
so that no edge runs under a box. Within a column, boxes take the order and the height of their neighbours, as far as
there is room. The same graph always gives the same picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_SWEEPS: Final = 12

Edge = tuple[str, str]
Heights = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Place:
    """Of a box, or of a bend in an edge: its column and the middle of its height."""

    column: int
    middle: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where boxes stand, and which places the edges pass from box to box."""

    boxes: Mapping[str, Place]
    routes: Mapping[Edge, tuple[Place, ...]]
    columns: int
    height: float


class _Block(NamedTuple):
    """Boxes without room between them."""

    # Where each of them wishes the block to begin, added up.
    tops: float
    extent: float
    names: tuple[str, ...]

    @property
    def top(self) -> float:
        return self.tops / len(self.names)


@dataclass(slots=True)
class _Columns:
    """Boxes and bends by columns, each with its neighbours to the left and to the right."""

    columns: list[list[str]]
    left: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    right: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))

    def connect(self, first: str, then: str) -> None:
        self.right[first].append(then)
        self.left[then].append(first)


def laid_out(heights: Mapping[str, float], edges: Iterable[Edge], *, gap: float, bend: float) -> Layout:
    """Places of boxes and edges.

    Args:
        heights: of the boxes by their ids, in any order that should decide where nothing else does.
        edges: from box to box. One that would close a circle is drawn backward.
        gap: least room between two boxes of a column.
        bend: room that an edge takes where it passes a column.
    """
    wanted = list(dict.fromkeys(edge for edge in edges if edge[0] != edge[1]))
    column = _column_of(list(heights), wanted)
    grid = _Columns([[] for _ in range(max(column.values(), default=-1) + 1)])
    for box in heights:
        grid.columns[column[box]].append(box)
    bends: dict[Edge, list[str]] = {}
    for edge in wanted:
        first, then = sorted(edge, key=lambda box: column[box])
        passed = [f"\0{number}\0{edge[0]}\0{edge[1]}" for number in range(column[first] + 1, column[then])]
        for number, name in enumerate(passed, start=column[first] + 1):
            grid.columns[number].append(name)
        for one, next_one in zip((first, *passed), (*passed, then), strict=True):
            grid.connect(one, next_one)
        bends[edge] = passed if first == edge[0] else passed[::-1]
    _order(grid)
    middles, height = _middles(grid, lambda name: heights.get(name, bend), gap)
    boxes = {box: Place(column[box], middles[box]) for box in heights}
    routes = {
        edge: (
            boxes[edge[0]],
            *(Place(int(name.split("\0")[1]), middles[name]) for name in passed),
            boxes[edge[1]],
        )
        for edge, passed in bends.items()
    }
    return Layout(boxes, routes, len(grid.columns), height)


def _column_of(boxes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The longest way to each box from one that gets nothing; edges that close circles are passed over."""
    following: dict[str, list[str]] = {box: [] for box in boxes}
    for first, then in edges:
        following[first].append(then)
    order: list[str] = []
    state: dict[str, int] = {}
    for start in boxes:
        if start in state:
            continue
        # A walk in depth without recursion: 1 is on the way here, 2 is done.
        path = [(start, iter(following[start]))]
        state[start] = 1
        while path:
            box, left = path[-1]
            then = next((one for one in left if state.get(one) is None), None)
            if then is None:
                state[box] = 2
                order.append(box)
                path.pop()
            else:
                state[then] = 1
                path.append((then, iter(following[then])))
    order.reverse()
    rank = {box: number for number, box in enumerate(order)}
    column = dict.fromkeys(boxes, 0)
    for box in order:
        for then in following[box]:
            if rank[then] > rank[box]:
                column[then] = max(column[then], column[box] + 1)
    # What gets nothing stands right before the first that takes of it.
    gets = {then for first, then in edges if rank[then] > rank[first]}
    for box in reversed(order):
        after = [column[then] for then in following[box] if rank[then] > rank[box]]
        if box not in gets and after:
            column[box] = min(after) - 1
    return column


def _order(grid: _Columns) -> None:
    for sweep in range(_SWEEPS):
        rightward = sweep % 2 == 0
        numbers = range(1, len(grid.columns)) if rightward else range(len(grid.columns) - 2, -1, -1)
        neighbours = grid.left if rightward else grid.right
        for number in numbers:
            beside = {name: at for at, name in enumerate(grid.columns[number - 1 if rightward else number + 1])}
            wished: dict[str, tuple[float, int]] = {}
            for at, name in enumerate(grid.columns[number]):
                found = [beside[one] for one in neighbours[name] if one in beside]
                wished[name] = (sum(found) / len(found) if found else at, at)
            grid.columns[number].sort(key=wished.__getitem__)


def _middles(grid: _Columns, height: Heights, gap: float) -> tuple[dict[str, float], float]:
    middles: dict[str, float] = {}
    for column in grid.columns:
        top = 0.0
        for name in column:
            middles[name] = top + height(name) / 2
            top += height(name) + gap
    for sweep in range(_SWEEPS):
        for column in grid.columns if sweep % 2 == 0 else reversed(grid.columns):
            wished: dict[str, float] = {}
            for name in column:
                beside = [middles[one] for one in (*grid.left[name], *grid.right[name])]
                wished[name] = sum(beside) / len(beside) if beside else middles[name]
            _settle(column, wished, height, gap, middles)
    lowest = min((middles[name] - height(name) / 2 for name in middles), default=0.0)
    for name in middles:
        middles[name] -= lowest
    return middles, max((middles[name] + height(name) / 2 for name in middles), default=0.0)


def _settle(
    column: Sequence[str], wished: Mapping[str, float], height: Heights, gap: float, middles: dict[str, float]
) -> None:
    """Puts the boxes of a column where they wish to be, in their order and without overlap.

    Boxes that wish to be in one another's place form a block, which stands where its boxes wish to be on average.
    """
    blocks: list[_Block] = []
    for name in column:
        block = _Block(wished[name] - height(name) / 2, height(name) + gap, (name,))
        while blocks and blocks[-1].top + blocks[-1].extent > block.top:
            above = blocks.pop()
            block = _Block(
                above.tops + block.tops - above.extent * len(block.names),
                above.extent + block.extent,
                (*above.names, *block.names),
            )
        blocks.append(block)
    for block in blocks:
        top = block.top
        for name in block.names:
            middles[name] = top + height(name) / 2
            top += height(name) + gap
