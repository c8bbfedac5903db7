"""Who may run where it is limited: decisions about one queue."""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import admission_pb2 as facts
from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit
from services.execution.admission.queue import Command, Decision, Enter, Leave, Queue, Take, decide, evolve
from services.execution.admission.snapshots import restored, stands
from services.execution.admission.words import listed, of_limit, waiting_for

SKIP, WAIT, REPLACE = ConcurrencyLimit.SKIP, ConcurrencyLimit.WAIT, ConcurrencyLimit.REPLACE


def limit(name: str, most: int, behavior: ConcurrencyLimit.Behavior = WAIT) -> ConcurrencyLimit:
    return ConcurrencyLimit(name=name, max=most, behavior=behavior)


PLAN = limit("launch_plan/p", 1)
DOMAIN = limit("domain", 2)
KEY = limit("key/gpu", 1)


class Line:
    """A queue and what was recorded of it."""

    def __init__(self, patience: int = 100) -> None:
        self.queue = Queue()
        self.facts: list[Message] = []
        self.patience = patience
        self.arrived = 0

    def give(self, command: Command) -> Decision:
        at = Timestamp(seconds=len(self.facts))
        decision = decide(self.queue, command, at, self.patience)
        folded = self.queue
        for fact in decision.facts:
            folded = evolve(folded, fact)
        assert folded == decision.queue == restored(stands(decision.queue))
        self.queue = decision.queue
        self.facts.extend(decision.facts)
        return decision

    def enter(self, execution: str, *limits: ConcurrencyLimit, arrived: int = 0) -> str:
        self.arrived += 1
        return self.give(Enter(execution, limits, arrived or self.arrived)).standing

    def leave(self, execution: str) -> list[str]:
        """Returns who may run now."""
        found = self.give(Leave(execution)).facts
        return [fact.execution for fact in found if isinstance(fact, facts.PlaceGiven)]

    def reclaimed(self) -> list[tuple[str, str]]:
        return [(fact.execution, fact.by) for fact in self.facts if isinstance(fact, facts.PlaceReclaimed)]


def test_first_come_first_served() -> None:
    line = Line()
    assert [line.enter(name, DOMAIN) for name in "abcd"] == ["running", "running", "waiting", "waiting"]
    assert line.leave("b") == ["c"]
    assert line.leave("a") == ["d"]
    assert line.leave("c") == line.leave("d") == []
    assert line.queue == Queue()


def test_who_was_created_first_goes_first_however_late_it_is_heard_of() -> None:
    line = Line()
    line.enter("a", PLAN)
    line.enter("late", PLAN, arrived=9)
    line.enter("early", PLAN, arrived=5)
    assert line.leave("a") == ["early"]


def test_everything_said_twice_changes_nothing() -> None:
    line = Line()
    line.enter("a", PLAN)
    line.enter("b", PLAN)
    recorded = len(line.facts)
    assert (line.enter("a", PLAN), line.enter("b", PLAN)) == ("running", "waiting")
    assert line.leave("nobody") == []
    assert len(line.facts) == recorded
    assert line.leave("a") == ["b"]
    assert line.leave("a") == []


def test_one_that_is_blocked_by_one_limit_stops_nobody_who_does_not_need_it() -> None:
    line = Line()
    line.enter("a", PLAN, DOMAIN)
    assert line.enter("b", PLAN, DOMAIN) == "waiting"
    assert line.enter("c", DOMAIN) == "running"
    assert line.enter("d", PLAN) == "waiting"
    # Both have room for b now; d comes later.
    assert line.leave("a") == ["b"]


def test_a_place_is_only_given_where_all_limits_have_room() -> None:
    line = Line()
    line.enter("plan", PLAN)
    line.enter("key", KEY)
    assert line.enter("both", PLAN, KEY) == "waiting"
    assert line.leave("plan") == []
    assert line.leave("key") == ["both"]


def test_the_first_in_line_is_not_overtaken_for_ever() -> None:
    line = Line(patience=3)
    line.enter("plan", PLAN)
    line.enter("key", KEY)
    line.enter("both", PLAN, KEY)
    given: list[str] = []
    # The key is never free when the plan is: others of one limit alone come all the time.
    running = {PLAN.name: "plan", KEY.name: "key"}
    for number in range(6):
        one = PLAN if number % 2 else KEY
        line.enter(f"{one.name}-{number}", one)
        allowed = line.leave(running[one.name])
        given += allowed
        if "both" in allowed:
            break
        for execution in allowed:
            running[one.name] = execution
    assert given[-1] == "both"


def test_skipping_refuses_where_there_is_no_room() -> None:
    line = Line()
    skipping = limit("launch_plan/p", 2, SKIP)
    assert [line.give(Take(name, [skipping])).standing for name in "abc"] == ["taken", "taken", "refused"]
    refused = line.give(Take("c", [skipping]))
    assert (refused.full, refused.standing) == (skipping, "refused")
    assert isinstance(line.facts[-1], facts.PlaceRefused)
    assert line.enter("a", skipping) == "running"
    line.leave("a")
    assert line.give(Take("c", [skipping])).standing == "taken"


def test_a_limit_of_nothing_lets_nobody_pass() -> None:
    assert Line().give(Take("a", [limit("launch_plan/p", 0, SKIP)])).standing == "refused"


def test_a_place_that_is_not_claimed_is_given_back() -> None:
    line = Line()
    skipping = limit("launch_plan/p", 1, SKIP)
    line.give(Take("never", [skipping]))
    assert line.give(Take("b", [skipping])).standing == "refused"
    line.give(Leave("never", unclaimed=True))
    assert line.give(Take("b", [skipping])).standing == "taken"
    # It comes late, and has lost its place.
    assert line.enter("never", skipping) == "waiting"
    assert line.enter("b", skipping) == "running"
    assert line.leave("b") == ["never"]


def test_a_place_that_is_claimed_is_not_given_back_by_the_alarm() -> None:
    line = Line()
    skipping = limit("launch_plan/p", 1, SKIP)
    line.give(Take("a", [skipping]))
    line.enter("a", skipping)
    assert not line.give(Leave("a", unclaimed=True)).facts
    assert line.give(Take("b", [skipping])).standing == "refused"


def test_a_place_taken_by_another_request_of_the_name_is_not_inherited() -> None:
    line = Line()
    line.enter("running", DOMAIN)
    line.enter("other", DOMAIN)
    line.give(Take("a", [limit("key/x", 1, SKIP)]))
    assert line.enter("a", DOMAIN) == "waiting"
    assert line.give(Take("b", [limit("key/x", 1, SKIP)])).standing == "taken"


def test_one_that_would_skip_waits_for_a_limit_where_one_waits() -> None:
    line = Line()
    skipping = limit("launch_plan/p", 1, SKIP)
    line.enter("a", DOMAIN)
    line.enter("b", DOMAIN)
    assert line.give(Take("c", [skipping, DOMAIN])).standing == "taken"
    # It does not run, but it counts.
    assert line.give(Take("d", [skipping, DOMAIN])).standing == "refused"
    assert line.leave("a") == []
    assert line.enter("c", skipping, DOMAIN) == "running"


def test_replacing_terminates_who_has_run_longest_and_waits_for_its_end() -> None:
    line = Line()
    replacing = limit("launch_plan/p", 2, REPLACE)
    assert [line.enter(name, replacing) for name in "abc"] == ["running", "running", "waiting"]
    assert line.reclaimed() == [("a", "c")]
    assert line.leave("a") == ["c"]
    assert line.enter("d", replacing) == "waiting"
    assert line.reclaimed() == [("a", "c"), ("b", "d")]


def test_the_newest_is_the_one_that_is_wanted() -> None:
    line = Line()
    replacing = limit("launch_plan/p", 1, REPLACE)
    for name in "abc":
        line.enter(name, replacing)
    assert line.reclaimed() == [("a", "b"), ("b", "c")]
    assert line.leave("b") == []
    assert line.leave("a") == ["c"]


def test_nobody_is_terminated_for_one_that_waits_for_others_all_the_same() -> None:
    line = Line()
    replacing = limit("launch_plan/p", 1, REPLACE)
    line.enter("old", replacing)
    line.enter("key", KEY)
    assert line.enter("new", replacing, KEY) == "waiting"
    assert line.reclaimed() == []
    assert line.leave("key") == []
    assert line.reclaimed() == [("old", "new")]
    assert line.leave("old") == ["new"]


def test_who_is_terminated_makes_room_in_all_its_limits() -> None:
    line = Line()
    replacing, domain = limit("launch_plan/p", 1, REPLACE), limit("domain", 1)
    line.enter("old", replacing, domain)
    line.enter("new", replacing, domain)
    assert line.reclaimed() == [("old", "new")]
    assert line.leave("old") == ["new"]


def test_versions_of_a_launch_plan_may_have_different_limits() -> None:
    line = Line()
    wide, narrow = limit("launch_plan/p", 3), limit("launch_plan/p", 1)
    for name in ("key", "waits for the key"):
        line.enter(name, KEY)
    assert [line.enter("a", wide), line.enter("b", narrow), line.enter("c", wide)] == ["running", "waiting", "waiting"]
    assert line.leave("a") == ["b", "c"]


def test_what_is_told_of_a_waiting_execution() -> None:
    line = Line()
    for name in "abcd":
        line.enter(name, PLAN, DOMAIN)
    assert waiting_for(line.queue, "a") == waiting_for(line.queue, "nobody") == ""
    assert waiting_for(line.queue, "b") == "place 1 of launch plan p (at most 1)"
    expected = "place 3 of launch plan p (at most 1), place 3 of this project and domain (at most 2)"
    assert waiting_for(line.queue, "d") == expected


def test_names_of_limits_in_words() -> None:
    names = ["domain", "launch_plan/a.b", "launch_plan_of/p/d/a/b", "task/t", "key/x/y", "else"]
    assert [of_limit(limit(name, 1)) for name in names] == [
        "this project and domain",
        "launch plan a.b",
        "launch plan a/b of p/d",
        "task t",
        "key x/y",
        "else",
    ]


def test_queues_are_listed_by_limit() -> None:
    line = Line()
    for name in "ba":
        line.enter(name, PLAN, DOMAIN)
    line.give(Take("c", [limit("key/x", 1, SKIP)]))

    def names(places: Sequence[object]) -> list[str]:
        return [str(place.execution_id.name) for place in places]  # type: ignore[attr-defined]

    found = listed(line.queue, "p", "d")
    assert [queue.limit.name for queue in found] == ["domain", "key/x", "launch_plan/p"]
    domain, key, plan = found
    assert (names(domain.running), names(domain.waiting)) == (["b"], ["a"])
    assert (names(plan.running), names(plan.waiting)) == (["b"], ["a"])
    assert [place.created for place in key.running] == [False]
    assert plan.running[0].execution_id == WorkflowExecutionIdentifier(project="p", domain="d", name="b")
    assert [queue.limit.name for queue in listed(line.queue, "p", "d", "c")] == ["key/x"]
    assert listed(Queue(), "p", "d") == []
