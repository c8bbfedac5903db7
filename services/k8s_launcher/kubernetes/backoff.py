"""When a refused create may be tried again (k8s-contract §3.2).

One state for each (kind, namespace), as one quota and one part of the API are asked for all of them. While it backs
off, what needs less of everything than was refused goes first; when the time is over one object is tried, not all that
wait. What frees room, an object that ends, ends the waiting at once.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from services.k8s_launcher.kubernetes.quota import Amounts


@dataclass
class _State:
    refusals: int
    until: float
    reason: str
    ceilings: Amounts | None
    """The least that was refused, by resource; None: whatever is asked for is refused."""
    probing: Hashable | None = None
    """Who is being tried, after the time was over."""
    smaller: set[Hashable] = field(default_factory=set[Hashable])
    """Who is being tried because it needs less."""


class Backoff:
    """Delays of `first_seconds`, doubled with each refusal up to `longest_seconds`. Times are seconds of one clock."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._states: dict[Hashable, _State] = {}

    def may_try(self, key: Hashable, amounts: Amounts | None, now: float) -> bool:
        """Whether an object of these amounts may be tried now. None: whether it is worth while to find them out."""
        state = self._states.get(key)
        if state is None:
            return True
        if amounts is None and state.ceilings is not None:
            return True
        return (state.probing is None and now >= state.until) or _is_below(amounts, state.ceilings)

    def trying(self, key: Hashable, who: Hashable, now: float) -> None:
        """`who` is being tried: `succeeded`, `refused` or `given_up` follows."""
        state = self._states.get(key)
        if state is None:
            return
        if state.probing is None and now >= state.until:
            state.probing = who
        else:
            state.smaller.add(who)

    def succeeded(self, key: Hashable, who: Hashable) -> None:
        """`who` was let in. That a smaller one was says nothing about those that wait."""
        state = self._states.get(key)
        if state is None:
            return
        if who in state.smaller:
            state.smaller.discard(who)
        else:
            del self._states[key]

    def refused(
        self,
        key: Hashable,
        who: Hashable,
        now: float,
        reason: str,
        *,
        amounts: Amounts | None = None,
        after_seconds: float | None = None,
        longest_seconds: float | None = None,
    ) -> None:
        """`who` was refused: the amounts that did not fit (None: it was not about amounts), and when to ask again.

        `longest_seconds`: instead of the usual one, when that is longer.
        """
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(0, now, reason, dict(amounts) if amounts is not None else None)
        elif state.ceilings is None or amounts is None:
            state.ceilings = None if amounts is None else dict(amounts)
        else:
            state.ceilings = {
                name: min(state.ceilings.get(name, amount), amount)
                for name, amount in {**state.ceilings, **amounts}.items()
            }
        state.smaller.discard(who)
        # One that was tried out of turn, or before the first was refused, makes no delay longer.
        if state.probing == who or not state.refusals:
            state.probing = None
            state.refusals += 1
            longest = self._longest if longest_seconds is None else min(self._longest, longest_seconds)
            state.until = now + min(self._first * 2.0 ** min(state.refusals - 1, 32), longest)
        if after_seconds is not None:
            state.until = max(state.until, now + after_seconds)
        state.reason = reason

    def given_up(self, key: Hashable, who: Hashable) -> None:
        """The try of `who` said nothing about room: another may be tried."""
        state = self._states.get(key)
        if state is not None:
            state.smaller.discard(who)
            if state.probing == who:
                state.probing = None

    def freed(self, key: Hashable) -> bool:
        """An object has ended or gone: try again now. False when nothing backs off, or not for want of room."""
        state = self._states.get(key)
        if state is None or state.ceilings is None:
            return False
        self.reset(key)
        return True

    def reset(self, key: Hashable) -> None:
        """What stood in the way is gone, as far as anybody knows."""
        state = self._states.get(key)
        if state is not None:
            state.refusals = 0
            state.until = float("-inf")

    def reason(self, key: Hashable) -> str:
        """Why whatever waits under a key waits; empty when nothing does."""
        state = self._states.get(key)
        return state.reason if state is not None else ""

    def goes_on(self, key: Hashable) -> bool:
        """Whether it was tried again and refused again: this is no moment's trouble."""
        state = self._states.get(key)
        return state is not None and state.refusals > 1

    def next_at(self, now: float) -> float | None:
        """When a try becomes possible that is not now; None: only an event can make one possible."""
        times = [state.until for state in self._states.values() if state.until > now]
        return min(times, default=None)


def _is_below(amounts: Amounts | None, ceilings: Amounts | None) -> bool:
    if not ceilings or amounts is None:
        return False
    return all(amounts.get(name, 0) < most for name, most in ceilings.items())
