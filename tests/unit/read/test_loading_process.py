"""How much a loading process takes from its parent at once."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from flightlog_read.loading_process import frame, receive


def commands(*batches: tuple[int, Sequence[int]]) -> BytesIO:
    """Batches up to a sequence, of messages of so many bytes; and the end."""
    sent = [(end, [(f"s{index}", end, b"x" * size, "") for index, size in enumerate(sizes)]) for end, sizes in batches]
    return BytesIO(b"".join(frame(one) for one in [*sent, None]))


def taken(source: BytesIO) -> list[tuple[int, int, bool]]:
    """The last sequence, the number of messages and whether it was the end, of all that is received."""
    found: list[tuple[int, int, bool]] = []
    while not found or not found[-1][2]:
        end, messages, over = receive(source)
        found.append((end, len(messages), over))
    return found


def test_small_batches_are_taken_together() -> None:
    assert taken(commands((10, [1, 1]), (20, [1]), (30, []))) == [(30, 3, True)]


def test_the_end_may_come_alone() -> None:
    assert taken(commands()) == [(0, 0, True)]
    full = [1] * 8000
    assert taken(commands((10, full))) == [(10, 8000, False), (0, 0, True)]


def test_a_process_without_messages_of_its_own_says_how_far_it_is() -> None:
    progress = [end for end, _, over in taken(commands(*((end, []) for end in range(1, 101)))) if not over]
    assert progress == [16, 32, 48, 64, 80, 96]


def test_memory_is_bounded_by_bytes_where_messages_are_large() -> None:
    large = 4 * 1024 * 1024
    found = taken(commands(*((end, [large]) for end in range(1, 8))))
    assert [count for _, count, _ in found] == [3, 3, 1]
