"""When a refused create is tried again."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from services.k8s_launcher.kubernetes.backoff import Backoff
from services.k8s_launcher.kubernetes.quota import Amounts

KEY = ("pods", "p-d")


def cpu(amount: float) -> Amounts:
    return {"limits.cpu": Decimal(str(amount))}


def refuse(backoff: Backoff, who: str, now: float, amount: float = 1.0) -> None:
    assert backoff.may_try(KEY, cpu(amount), now)
    backoff.trying(KEY, who, now)
    backoff.refused(KEY, who, now, "full", amounts=cpu(amount))


def test_delay_doubles_up_to_the_longest() -> None:
    backoff = Backoff(1, 20)
    now, delays = 0.0, list[float]()
    for _ in range(7):
        refuse(backoff, "a", now)
        at = backoff.next_at(now)
        assert at is not None
        delays.append(at - now)
        assert not backoff.may_try(KEY, cpu(1), at - 0.001)
        now = at
    assert delays == [1, 2, 4, 8, 16, 20, 20]


def test_one_is_tried_when_the_time_is_over() -> None:
    backoff = Backoff(1, 20)
    refuse(backoff, "a", 0)
    backoff.trying(KEY, "a", 1)
    assert not backoff.may_try(KEY, cpu(1), 1)
    backoff.succeeded(KEY, "a")
    assert backoff.may_try(KEY, cpu(1), 1)


def test_those_tried_before_the_first_was_refused_make_no_delay_longer() -> None:
    backoff = Backoff(1, 20)
    for who in "abcd":
        backoff.trying(KEY, who, 0)
    for who in "abcd":
        backoff.refused(KEY, who, 0, "full", amounts=cpu(1))
    assert backoff.next_at(0) == 1


def test_what_needs_less_of_everything_goes_first() -> None:
    backoff = Backoff(1, 20)
    refuse(backoff, "large", 0, 2)
    assert backoff.may_try(KEY, cpu(1), 0)
    assert backoff.may_try(KEY, {"limits.memory": Decimal(9)}, 0)
    assert not backoff.may_try(KEY, cpu(2), 0)
    backoff.trying(KEY, "small", 0)
    backoff.succeeded(KEY, "small")
    assert not backoff.may_try(KEY, cpu(2), 0.5)
    assert backoff.may_try(KEY, cpu(2), 1)


def test_smaller_one_that_was_refused_lowers_the_ceiling_and_not_the_pace() -> None:
    backoff = Backoff(1, 20)
    refuse(backoff, "large", 0, 2)
    refuse(backoff, "small", 0.5, 1)
    assert not backoff.may_try(KEY, cpu(1), 0.5)
    assert backoff.may_try(KEY, cpu(0.5), 0.5)
    assert backoff.next_at(0.5) == 1


def test_room_that_is_freed_ends_the_waiting_at_once() -> None:
    backoff = Backoff(1, 20)
    for at in (0, 1, 3, 7):
        refuse(backoff, "a", at)
    assert not backoff.may_try(KEY, cpu(1), 8)
    assert backoff.freed(KEY)
    refuse(backoff, "a", 8)
    assert backoff.next_at(8) == 9


def test_api_that_is_away_is_not_helped_by_room() -> None:
    backoff = Backoff(1, 20)
    backoff.refused(KEY, "a", 0, "unreachable")
    assert not backoff.freed(KEY)
    assert not backoff.may_try(KEY, cpu(0), 0)


def test_api_says_itself_when_to_ask_again() -> None:
    backoff = Backoff(1, 20)
    backoff.refused(KEY, "a", 0, "busy", after_seconds=30)
    assert backoff.next_at(0) == 30


def test_api_that_is_unreachable_is_asked_more_often() -> None:
    backoff = Backoff(1, 20)
    now, delays = 0.0, list[float]()
    for _ in range(6):
        backoff.trying(KEY, "a", now)
        backoff.refused(KEY, "a", now, "unreachable", longest_seconds=4)
        delays.append((backoff.next_at(now) or 0.0) - now)
        now += delays[-1]
    assert delays == [1, 2, 4, 4, 4, 4]


def test_wait_is_worth_a_word_when_it_was_not_over_after_the_first_delay() -> None:
    backoff = Backoff(1, 20)
    assert not backoff.goes_on(KEY)
    for who in ("a", "b"):
        backoff.refused(KEY, who, 0, "busy")
    assert not backoff.goes_on(KEY)
    backoff.trying(KEY, "a", 1)
    backoff.refused(KEY, "a", 1, "busy")
    assert backoff.goes_on(KEY)
    backoff.trying(KEY, "a", 3)
    backoff.succeeded(KEY, "a")
    assert not backoff.goes_on(KEY)


def test_try_that_was_given_up_lets_another_one_try() -> None:
    backoff = Backoff(1, 20)
    refuse(backoff, "a", 0)
    backoff.trying(KEY, "a", 1)
    backoff.given_up(KEY, "a")
    assert backoff.may_try(KEY, cpu(1), 1)


def test_namespaces_wait_for_themselves() -> None:
    backoff = Backoff(1, 20)
    refuse(backoff, "a", 0)
    assert backoff.may_try(("pods", "other"), cpu(1), 0)
    assert (backoff.reason(KEY), backoff.reason(("pods", "other"))) == ("full", "")


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_somebody_may_try_one_day(seed: int) -> None:
    """A quota with room that comes and goes: nobody is stuck, and no more is tried than once a step and per freeing."""
    chance = random.Random(seed)
    backoff = Backoff(1, 20)
    under_way: list[tuple[str, float]] = []
    now = 0.0
    for number in range(300):
        now += chance.choice((0.0, 0.1, 1.0, 5.0))
        amount = chance.choice((0.5, 1.0, 2.0))
        match chance.choice(("try", "try", "refused", "succeeded", "given_up", "freed")):
            case "try" if backoff.may_try(KEY, cpu(amount), now):
                backoff.trying(KEY, str(number), now)
                under_way.append((str(number), amount))
            case "freed":
                backoff.freed(KEY)
            case ("refused" | "succeeded" | "given_up") as what if under_way:
                who, asked = under_way.pop(chance.randrange(len(under_way)))
                if what == "refused":
                    backoff.refused(KEY, who, now, "full", amounts=cpu(asked))
                elif what == "succeeded":
                    backoff.succeeded(KEY, who)
                else:
                    backoff.given_up(KEY, who)
            case _:
                pass
    for who, asked in under_way:
        backoff.refused(KEY, who, now, "full", amounts=cpu(asked))
    assert backoff.may_try(KEY, cpu(2), now + 20)
