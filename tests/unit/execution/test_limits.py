"""Which limits hold for an execution: what launch plan, request and settings say."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import CONCURRENCY_LIMIT_BEHAVIOR_SKIP, LaunchPlanSpec
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, TASK, Identifier, WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap
from pydantic import ValidationError

from flightlog_protos.execution.v1.facts_pb2 import ChildExecutionRequested, ConcurrencyLimit, ExecutionCreated
from flightlog_types.invalid import InvalidArgument
from services.execution.creation.children import child_request
from services.execution.creation.limits import own_limits, refuses, resolve_limits
from services.execution.settings import ExecutionSettings

EXECUTION = WorkflowExecutionIdentifier(project="p", domain="d", name="e")
PREFIX = "flightlog.concurrency/"
SKIP, WAIT, REPLACE = ConcurrencyLimit.SKIP, ConcurrencyLimit.WAIT, ConcurrencyLimit.REPLACE

Said = Mapping[str, str]


def launch_plan(said: Said | None = None, *, labels: Said | None = None, skip: int | None = None) -> LaunchPlanSpec:
    spec = LaunchPlanSpec()
    spec.annotations.values.update({PREFIX + name: value for name, value in (said or {}).items()})
    spec.labels.values.update({PREFIX + name: value for name, value in (labels or {}).items()})
    if skip is not None:
        spec.concurrency_policy.max = skip
        spec.concurrency_policy.behavior = CONCURRENCY_LIMIT_BEHAVIOR_SKIP
    return spec


def request(said: Said | None = None, *, labels: Said | None = None, entity: Identifier | None = None) -> ExecutionSpec:
    plan = Identifier(resource_type=LAUNCH_PLAN, project="p", domain="d", name="my.plan", version="v1")
    spec = ExecutionSpec(launch_plan=entity or plan)
    spec.annotations.values.update({PREFIX + name: value for name, value in (said or {}).items()})
    spec.labels.values.update({PREFIX + name: value for name, value in (labels or {}).items()})
    return spec


def resolved(
    plan: LaunchPlanSpec | None = None, spec: ExecutionSpec | None = None, domains: Mapping[str, int] | None = None
) -> list[tuple[str, int, ConcurrencyLimit.Behavior]]:
    limits = resolve_limits(EXECUTION, spec or request(), plan or launch_plan(), domains or {})
    return [(limit.name, limit.max, limit.behavior) for limit in limits]


def test_most_executions_have_none() -> None:
    assert resolved() == []
    assert resolved(domains={"p/other": 3, "*/x": 1}) == []


def test_flytes_own_policy() -> None:
    assert resolved(launch_plan(skip=2)) == [("launch_plan/my.plan", 2, SKIP)]
    assert resolved(launch_plan(skip=0)) == [("launch_plan/my.plan", 0, SKIP)]
    unspecified = LaunchPlanSpec()
    unspecified.concurrency_policy.max = 3
    assert resolved(unspecified) == []
    unspecified.annotations.values[PREFIX + "behavior"] = "wait"
    assert resolved(unspecified) == [("launch_plan/my.plan", 3, WAIT)]
    newer = launch_plan(skip=2)
    newer.concurrency_policy.behavior = 7  # pyright: ignore[reportAttributeAccessIssue]
    assert resolved(newer) == []


@pytest.mark.parametrize(("word", "behavior"), [("skip", SKIP), ("wait", WAIT), ("Replace", REPLACE)])
def test_behaviours_that_flyteidl_lacks_are_annotations(word: str, behavior: ConcurrencyLimit.Behavior) -> None:
    expected = [("launch_plan/my.plan", 2, behavior)]
    assert resolved(launch_plan({"max": "2", "behavior": word})) == expected
    assert resolved(launch_plan(labels={"max": "2", "behavior": word})) == expected
    assert resolved(launch_plan(skip=2), request({"behavior": word})) == expected
    assert resolved(spec=request({"max": "2"}, labels={"behavior": word})) == expected


def test_without_a_word_on_it_they_wait() -> None:
    assert resolved(launch_plan({"max": "2"})) == [("launch_plan/my.plan", 2, WAIT)]


def test_an_execution_may_ask_for_less_but_not_for_more() -> None:
    assert resolved(launch_plan({"max": "2"}), request({"max": "1"})) == [("launch_plan/my.plan", 1, WAIT)]
    assert resolved(launch_plan({"max": "2"}), request({"max": "9"})) == [("launch_plan/my.plan", 2, WAIT)]
    assert resolved(launch_plan(skip=2), request({"max": "9"})) == [("launch_plan/my.plan", 2, SKIP)]
    assert resolved(launch_plan({"max": "5"}, skip=2)) == [("launch_plan/my.plan", 5, SKIP)]


def test_a_key_is_shared_by_whoever_names_it() -> None:
    assert resolved(launch_plan({"key": "gpu", "key-max": "4"})) == [("key/gpu", 4, WAIT)]
    assert resolved(spec=request(labels={"key": "gpu", "key-max": "4"})) == [("key/gpu", 4, WAIT)]
    assert resolved(spec=request({"key": "gpu", "key-max": "4", "key-behavior": "skip"})) == [("key/gpu", 4, SKIP)]
    other = request({"key": "cpu"})
    assert resolved(launch_plan({"key": "gpu", "key-max": "4"}), other) == [("key/cpu", 4, WAIT)]


def test_limits_of_projects_and_domains_come_from_the_settings() -> None:
    domains = {"*/*": 9, "*/d": 8, "p/*": 7, "p/d": 6}
    for pattern in ("p/d", "p/*", "*/d", "*/*"):
        assert resolved(domains=domains) == [("domain", domains.pop(pattern), WAIT)]
    assert resolved(domains=domains) == []


def test_settings_name_project_and_domain() -> None:
    assert ExecutionSettings(limits={"p/d": 3, "*/*": 1}).limits == {"p/d": 3, "*/*": 1}
    for wrong in ({"p": 3}, {"p/d/e": 3}, {"p/d": 0}, {"p/d": 2**31}):
        with pytest.raises(ValidationError):
            ExecutionSettings(limits=wrong)


def test_all_of_them_together() -> None:
    plan = launch_plan({"key": "gpu", "key-max": "4"}, skip=1)
    names = ["launch_plan/my.plan", "key/gpu", "domain"]
    assert [name for name, _, _ in resolved(plan, domains={"*/*": 5})] == names


def test_what_is_limited_has_its_own_name() -> None:
    elsewhere = Identifier(resource_type=LAUNCH_PLAN, project="q", domain="d", name="my.plan", version="v1")
    task = Identifier(resource_type=TASK, project="p", domain="d", name="my.task", version="v1")
    assert resolved(spec=request({"max": "1"}, entity=elsewhere)) == [("launch_plan_of/q/d/my.plan", 1, WAIT)]
    assert resolved(spec=request({"max": "1"}, entity=task)) == [("task/my.task", 1, WAIT)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"max": "0"}, "must be a whole number from 1 to"),
        ({"max": "-1"}, "must be a whole number from 1 to"),
        ({"max": "two"}, "not \\[two\\]"),
        ({"max": "99999999999999999999"}, "must be a whole number from 1 to"),
        ({"max": f"{2**31}"}, "must be a whole number from 1 to"),
        ({"max": "00000000001" + "0" * 50}, "must be a whole number from 1 to"),
        ({"max": "9" * 5000}, "not \\[9{100}\\]"),
        ({"max": "٣"}, "must be a whole number from 1 to"),
        ({"max": ""}, "must be a whole number from 1 to"),
        ({"behavior": "wait"}, "behavior without flightlog.concurrency/max"),
        ({"max": "1", "behavior": "later"}, "must be one of skip, wait, replace, not \\[later\\]"),
        ({"key": "gpu"}, "key without flightlog.concurrency/key-max"),
        ({"key-max": "1"}, "key-max without flightlog.concurrency/key"),
        ({"key-behavior": "wait"}, "key-behavior without flightlog.concurrency/key"),
        ({"key": "", "key-max": "1"}, "between 1 and 256 characters"),
        ({"key": "k" * 257, "key-max": "1"}, "between 1 and 256 characters"),
    ],
)
def test_what_cannot_be_understood_is_refused(said: Said, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        resolved(launch_plan(said))
    with pytest.raises(InvalidArgument, match=reason):
        resolved(spec=request(said))


def test_nothing_can_wait_for_a_limit_of_nothing() -> None:
    with pytest.raises(InvalidArgument, match="nothing could ever run"):
        resolved(launch_plan({"behavior": "wait"}, skip=0))


def test_a_child_runs_within_the_places_of_its_ancestors() -> None:
    """Or a parent could wait for a child that waits for the parent's own place."""
    parent = resolve_limits(EXECUTION, request({"key": "gpu", "key-max": "1"}), launch_plan(skip=1), {"*/*": 1})
    spec = request({"key": "gpu", "key-max": "1", "max": "1"})
    spec.metadata.parent_node_execution.execution_id.CopyFrom(EXECUTION)
    child = resolve_limits(EXECUTION, spec, launch_plan({"key": "fpga", "key-max": "2"}, skip=1), {"*/*": 1}, parent)
    assert {limit.name: limit.held_by for limit in child} == {
        "launch_plan/my.plan": "e",
        "key/gpu": "e",
        "domain": "e",
        "key/fpga": "",
    }
    assert [limit.name for limit in own_limits(child)] == ["key/fpga"]
    assert refuses(child)
    assert not refuses(own_limits(child))
    spec.metadata.parent_node_execution.execution_id.name = "child"
    grandchild = resolve_limits(EXECUTION, spec, launch_plan(), {"*/*": 1}, child)
    assert {limit.held_by for limit in grandchild} == {"e", "child"}
    assert own_limits(grandchild) == ()


def test_what_was_said_of_a_parent_does_not_limit_its_children() -> None:
    spec = request({"max": "1", "behavior": "replace", "key": "gpu", "key-max": "1"})
    assert resolve_limits(EXECUTION, spec, launch_plan(), {}, within=[]) == []
    assert [limit.max for limit in resolve_limits(EXECUTION, spec, launch_plan({"max": "3"}), {}, within=[])] == [3]


def test_a_child_is_not_told_what_was_said_of_its_parents_concurrency() -> None:
    """Or a relaunch of it would be held to limits that were never meant for it, or replace others."""
    parent = ExecutionCreated(id=EXECUTION)
    for values in (parent.config.labels, parent.config.annotations):
        values.update({f"{PREFIX}max": "1", f"{PREFIX}behavior": "replace", "team": "a"})
    spec = child_request(parent, ChildExecutionRequested(), "n0", LiteralMap(), "s3://b/data").spec
    assert dict(spec.labels.values) == dict(spec.annotations.values) == {"team": "a"}
