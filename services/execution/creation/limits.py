"""How many executions may run at once: the limits that hold for one, from launch plan, request and settings. Pure.

Flyte knows a launch plan's `concurrency_policy` with the behaviour SKIP alone (admin-contract §4.7). What it lacks is
said by annotations or labels of the execution or the launch plan, each looked up for itself, the execution's first:

- `flightlog.concurrency/max` and `flightlog.concurrency/behavior` (`skip`, `wait`, `replace`): of the launch plan, over
  all its versions. An execution may ask for less than its launch plan says, never for more.
- `flightlog.concurrency/key`, `flightlog.concurrency/key-max` and `flightlog.concurrency/key-behavior`: of all
  executions that name the same key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from flyteidl.admin.execution_pb2 import ExecutionSpec
from flyteidl.admin.launch_plan_pb2 import CONCURRENCY_LIMIT_BEHAVIOR_SKIP, LaunchPlanSpec
from flyteidl.core import identifier_pb2
from flyteidl.core.identifier_pb2 import Identifier, WorkflowExecutionIdentifier

from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit
from flightlog_types.invalid import InvalidArgument

LAUNCH_PLAN: Final = "launch_plan"
LAUNCH_PLAN_OF: Final = "launch_plan_of"
"""Of another project or domain than the execution's: these follow."""
TASK: Final = "task"
DOMAIN: Final = "domain"
KEY: Final = "key"

_PREFIX: Final = "flightlog.concurrency/"
MAX: Final = f"{_PREFIX}max"
BEHAVIOR: Final = f"{_PREFIX}behavior"
KEY_NAME: Final = f"{_PREFIX}key"
KEY_MAX: Final = f"{_PREFIX}key-max"
KEY_BEHAVIOR: Final = f"{_PREFIX}key-behavior"

_BEHAVIORS: Final = {
    "skip": ConcurrencyLimit.SKIP,
    "wait": ConcurrencyLimit.WAIT,
    "replace": ConcurrencyLimit.REPLACE,
}
LARGEST: Final = 2**31 - 1
"""Of a limit."""
_NUMBER = re.compile("[0-9]{1,10}")
_LONGEST_KEY = 256
_SHOWN = 100


def resolve_limits(
    execution_id: WorkflowExecutionIdentifier,
    spec: ExecutionSpec,
    launch_plan: LaunchPlanSpec,
    domains: Mapping[str, int],
    within: Sequence[ConcurrencyLimit] | None = None,
) -> list[ConcurrencyLimit]:
    """The limits that hold for an execution, one of a name.

    A child runs within the places of its ancestors: what is limited for one of them counts it once, with all its
    descendants. Otherwise a parent could wait for a child that waits for the parent's own place.

    Args:
        launch_plan: empty for the execution of a single task.
        domains: the settings of the service: `project/domain` -> most executions; `*` stands for any.
        within: the limits of the parent; None when there is none. What the spec of a child says of concurrency was
            meant for its parent.

    Raises:
        InvalidArgument: an annotation cannot be understood.
    """
    own = () if within is not None else (spec.annotations.values, spec.labels.values)
    registered = (launch_plan.annotations.values, launch_plan.labels.values)
    found = [
        limit
        for limit in (
            _of_launch_plan(execution_id, spec.launch_plan, launch_plan, own, registered),
            _of_key((*own, *registered)),
            _of_domain(execution_id, domains),
        )
        if limit is not None
    ]
    if within is None:
        return found
    holders = {limit.name: limit for limit in within}
    parent = spec.metadata.parent_node_execution.execution_id.name
    inherited = [_inherited(limit, parent) for limit in within]
    return [*inherited, *(limit for limit in found if limit.name not in holders)]


def without_words(values: Mapping[str, str]) -> dict[str, str]:
    """Annotations or labels without what they say of concurrency: that was meant for the execution that has them."""
    return {name: value for name, value in values.items() if not name.startswith(_PREFIX)}


def own_limits(limits: Iterable[ConcurrencyLimit]) -> tuple[ConcurrencyLimit, ...]:
    """Those in which an execution needs a place of its own."""
    return tuple(limit for limit in limits if not limit.held_by)


def refuses(limits: Iterable[ConcurrencyLimit]) -> bool:
    """Whether an execution with these is refused where there is no room."""
    return any(limit.behavior == ConcurrencyLimit.SKIP for limit in limits)


def _inherited(limit: ConcurrencyLimit, parent: str) -> ConcurrencyLimit:
    inherited = ConcurrencyLimit()
    inherited.CopyFrom(limit)
    inherited.held_by = limit.held_by or parent
    return inherited


def _of_launch_plan(
    execution_id: WorkflowExecutionIdentifier,
    entity: Identifier,
    launch_plan: LaunchPlanSpec,
    own: Sequence[Mapping[str, str]],
    registered: Sequence[Mapping[str, str]],
) -> ConcurrencyLimit | None:
    policy = launch_plan.concurrency_policy
    skips = policy.behavior == CONCURRENCY_LIMIT_BEHAVIOR_SKIP
    behavior = _behavior(BEHAVIOR, (*own, *registered))
    given, asked = _most(MAX, registered), _most(MAX, own)
    if given is None and (skips or (policy.max and behavior is not None)):
        given = policy.max
    if given is None and asked is None:
        if behavior is not None:
            raise InvalidArgument(f"{BEHAVIOR} without {MAX}, and the launch plan has no concurrency policy")
        return None
    most = min(limit for limit in (given, asked) if limit is not None)
    if behavior is None:
        behavior = ConcurrencyLimit.SKIP if skips else ConcurrencyLimit.WAIT
    if not most and behavior != ConcurrencyLimit.SKIP:
        raise InvalidArgument(f"{BEHAVIOR}: nothing could ever run, the launch plan's limit is 0")
    return ConcurrencyLimit(name=_name_of(entity, execution_id), max=most, behavior=behavior)


def _name_of(entity: Identifier, execution_id: WorkflowExecutionIdentifier) -> str:
    if entity.resource_type == identifier_pb2.TASK:
        return f"{TASK}/{entity.name}"
    if (entity.project, entity.domain) == (execution_id.project, execution_id.domain):
        return f"{LAUNCH_PLAN}/{entity.name}"
    return f"{LAUNCH_PLAN_OF}/{entity.project}/{entity.domain}/{entity.name}"


def _of_key(sources: Sequence[Mapping[str, str]]) -> ConcurrencyLimit | None:
    key, most, behavior = _said(KEY_NAME, sources), _most(KEY_MAX, sources), _behavior(KEY_BEHAVIOR, sources)
    if key is None:
        if most is not None or behavior is not None:
            raise InvalidArgument(f"{KEY_MAX if most is not None else KEY_BEHAVIOR} without {KEY_NAME}")
        return None
    if not key or len(key) > _LONGEST_KEY:
        raise InvalidArgument(f"{KEY_NAME} must have between 1 and {_LONGEST_KEY} characters")
    if most is None:
        raise InvalidArgument(f"{KEY_NAME} without {KEY_MAX}")
    return ConcurrencyLimit(name=f"{KEY}/{key}", max=most, behavior=behavior or ConcurrencyLimit.WAIT)


def _of_domain(execution_id: WorkflowExecutionIdentifier, domains: Mapping[str, int]) -> ConcurrencyLimit | None:
    project, domain = execution_id.project, execution_id.domain
    for pattern in (f"{project}/{domain}", f"{project}/*", f"*/{domain}", "*/*"):
        if pattern in domains:
            return ConcurrencyLimit(name=DOMAIN, max=domains[pattern], behavior=ConcurrencyLimit.WAIT)
    return None


def _said(name: str, sources: Iterable[Mapping[str, str]]) -> str | None:
    return next((source[name] for source in sources if name in source), None)


def _most(name: str, sources: Iterable[Mapping[str, str]]) -> int | None:
    text = _said(name, sources)
    if text is None:
        return None
    if not (_NUMBER.fullmatch(text) and 1 <= int(text) <= LARGEST):
        raise InvalidArgument(f"{name} must be a whole number from 1 to {LARGEST}, not [{text[:_SHOWN]}]")
    return int(text)


def _behavior(name: str, sources: Iterable[Mapping[str, str]]) -> ConcurrencyLimit.Behavior | None:
    text = _said(name, sources)
    if text is None:
        return None
    if text.lower() not in _BEHAVIORS:
        raise InvalidArgument(f"{name} must be one of {', '.join(_BEHAVIORS)}, not [{text[:_SHOWN]}]")
    return _BEHAVIORS[text.lower()]
