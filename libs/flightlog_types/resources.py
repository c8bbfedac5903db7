"""Checks what a task asks for against its own limits and the platform's (admin-contract §1.1, §5.3)."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_UP, Decimal

from flyteidl.core import identifier_pb2, tasks_pb2

from flightlog_types import quantities
from flightlog_types.invalid import InvalidArgument
from flightlog_types.prototext import prototext

_Name = tasks_pb2.Resources.ResourceName
_CHECKED = frozenset({_Name.CPU, _Name.MEMORY, _Name.EPHEMERAL_STORAGE, _Name.GPU})


def validate_resources(
    task_id: identifier_pb2.Identifier, resources: tasks_pb2.Resources, platform_limits: Mapping[int, str]
) -> None:
    """Refuse resources that cannot be granted; raises InvalidArgument.

    Args:
        task_id: printed in the messages.
        resources: what the task's container requests, and its limits. Names other than CPU, memory, GPU and ephemeral
            storage are not checked.
        platform_limits: quantity per resource name (`Resources.ResourceName`); a name without entry, or
            with one of zero, is unlimited.
    """
    requests = _by_name(task_id, resources.requests)
    limits = _by_name(task_id, resources.limits)
    for name in sorted(requests):
        requested, limit = requests[name], limits.get(name)
        if name == _Name.GPU:
            if limit is not None and _units(requested) != _units(limit):
                raise InvalidArgument(
                    "For extended resource 'gpu' the default value must equal the limit value for task "
                    f"[{prototext(task_id)}]"
                )
        else:
            if limit is not None and _amount(limit) < _amount(requested):
                raise InvalidArgument(
                    f"Requested {_Name.Name(name)} default [{quantities.canonical(requested)}] is greater than the "
                    f"limit [{quantities.canonical(limit)}]. Please fix your configuration"
                )
            _require_within(name, "limit", limit, platform_limits)
        _require_within(name, "default", requested, platform_limits)


def _require_within(name: int, what: str, quantity: str | None, platform_limits: Mapping[int, str]) -> None:
    ceiling = platform_limits.get(name)
    if quantity is not None and ceiling and _amount(ceiling) and _amount(quantity) > _amount(ceiling):
        raise InvalidArgument(
            f"Requested {_Name.Name(name)} {what} [{quantities.canonical(quantity)}] is greater than current limit set "
            f"in the platform configuration [{quantities.canonical(ceiling)}]. Please contact Flyte Admins to change "
            "these limits or consult the configuration"
        )


def _by_name(
    task_id: identifier_pb2.Identifier, entries: Iterable[tasks_pb2.Resources.ResourceEntry]
) -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in entries:
        if entry.name not in _CHECKED:
            continue
        if entry.name in found:
            raise InvalidArgument(
                f"can't specify {_Name.Name(entry.name)} limit for task [{prototext(task_id)}] multiple times"
            )
        try:
            quantities.parse(entry.value)
        except quantities.BadQuantity as error:
            raise InvalidArgument(
                f"Parsing of {_Name.Name(entry.name)} request failed for value {entry.value} - reason  {error}. "
                "Please follow K8s conventions for resources "
                "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"
            ) from error
        if entry.name == _Name.GPU and not quantities.is_whole(quantities.parse(entry.value)):
            raise InvalidArgument(f"gpu for [{prototext(task_id)}] must be a whole number, got: {entry.value} instead")
        found[entry.name] = entry.value
    return found


def _amount(quantity: str) -> Decimal:
    return quantities.parse(quantity)


def _units(quantity: str) -> int:
    return int(_amount(quantity).to_integral_value(ROUND_UP))
