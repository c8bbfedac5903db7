"""Checks of matchable attributes (admin-contract §1.8)."""

from flyteidl.admin.matchable_resource_pb2 import MatchableResource, MatchingAttributes, TaskResourceSpec
from flyteidl.core import tasks_pb2

from flightlog_types import quantities
from flightlog_types.matchable import KINDS
from services.registry.refusals import invalid

_Name = tasks_pb2.Resources.ResourceName
_RESOURCES = {
    "cpu": _Name.CPU,
    "memory": _Name.MEMORY,
    "gpu": _Name.GPU,
    "ephemeral_storage": _Name.EPHEMERAL_STORAGE,
}
"""Fields of a TaskResourceSpec that mean something; `storage` never did."""


def resource_type_of(attributes: MatchingAttributes, place: str) -> MatchableResource:
    """What the attributes are about, given by the member that is set.

    Args:
        attributes: of an update.
        place: names what they are for, in the message: `project-domain-workflow`.

    Raises:
        Refusal: INVALID_ARGUMENT when nothing is set, or an amount is no quantity.
    """
    member = attributes.WhichOneof("target")
    if member is None:
        raise invalid(f"Unrecognized matching attributes type for request {place}")
    for kind, spec in (
        ("default", attributes.task_resource_attributes.defaults),
        ("limit", attributes.task_resource_attributes.limits),
    ):
        _check_quantities(spec, kind)
    return KINDS[member]


def limits_by_name(spec: TaskResourceSpec) -> dict[int, str]:
    """Limits by `Resources.ResourceName`; an amount of zero, or below, is none (k8s-contract §1.8)."""
    amounts = {number: getattr(spec, field) for field, number in _RESOURCES.items()}
    return {number: amount for number, amount in amounts.items() if amount and quantities.parse(amount) > 0}


def _check_quantities(spec: TaskResourceSpec, kind: str) -> None:
    for field in _RESOURCES:
        amount: str = getattr(spec, field)
        if not amount:
            continue
        try:
            quantities.parse(amount)
        except quantities.BadQuantity as error:
            raise invalid(f"Parsing of {field} {kind} failed for value {amount} - reason {error}") from None
