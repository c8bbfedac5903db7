"""What the API says when a ResourceQuota has no room, and what an object counts against one (k8s-contract §3.1, §3.2).

Any resource that a quota can name is understood: `limits.cpu`, `requests.nvidia.com/gpu`, `count/rayjobs.ray.io`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import POD, Kind, Object
from services.k8s_launcher.kubernetes.pods.amounts import Amounts, pod_amounts

_EXCEEDED = re.compile(r"exceeded quota: (.+?), requested: (.+?), used: (.+?), limited: (\S+)")


@dataclass(frozen=True)
class Exceeded:
    """A quota that had no room for an object. Only the resources that lack room are named."""

    quota: str
    requested: Amounts
    used: Amounts
    limited: Amounts

    @property
    def never(self) -> tuple[str, ...]:
        """Resources of which more is asked for than the quota will ever give; what equals it fits."""
        return tuple(
            name for name, amount in self.requested.items() if name in self.limited and amount > self.limited[name]
        )


def parse(message: str) -> Exceeded | None:
    """What the message of a refusal says about a quota; None when it speaks of none."""
    found = _EXCEEDED.search(message)
    if found is None:
        return None
    try:
        requested, used, limited = (_amounts(found.group(number)) for number in (2, 3, 4))
    except quantities.BadQuantity:
        return None
    return Exceeded(found.group(1), requested, used, limited)


def speaks_of_quota(message: str) -> bool:
    """Whether an object was refused because a quota is used up, however the rest of the message is worded."""
    return "exceeded quota" in message


def counted(kind: Kind, manifest: Object) -> Amounts:
    """What an object counts against quotas. Of what an operator makes of it, only the object itself is known."""
    group, slash, _ = kind.api_version.partition("/")
    amounts = {f"count/{kind.plural}{'.' + group if slash else ''}": Decimal(1)}
    if kind != POD:
        return amounts
    amounts["pods"] = Decimal(1)
    specification: Object = manifest.get("spec") or {}
    for name, amount in pod_amounts(specification, "requests").items():
        amounts[f"requests.{name}"] = amount
        amounts[name] = amount
    for name, amount in pod_amounts(specification, "limits").items():
        amounts[f"limits.{name}"] = amount
    return amounts


def _amounts(text: str) -> dict[str, Decimal]:
    pairs = (item.partition("=") for item in text.split(","))
    return {name.strip(): quantities.parse(value.strip()) for name, equals, value in pairs if equals}
