"""Names of objects and of their main containers (k8s-contract §1.1).

They follow from the attempt's generated name alone, so whoever makes the object, and however often, arrives at the
same name.
"""

from __future__ import annotations

import re
from typing import Final

from flightlog_types.short_names import fitted, hashed

LONGEST_NAME: Final = 50
"""Of pods, in characters; some kinds of objects take less."""

_LONGEST_SUBDOMAIN: Final = 253
_LONGEST_UNIQUE_PART: Final = 20
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_HUMP: Final = re.compile(r"([a-z0-9])([A-Z])")
_NOT_IN_SUBDOMAIN: Final = re.compile(r"[^-.a-z0-9]")


def object_name(generated_name: str, longest: int = LONGEST_NAME) -> str:
    """Name of the object that runs an attempt: its generated name, as the kind of object allows it.

    Args:
        longest: of names of this kind, in characters; what is longer is replaced by its hash.
    """
    return dns_subdomain(fitted(generated_name, longest))


def container_name(name: str) -> str:
    """Name of the container of an object: the same, unless no container can have it."""
    return name if _DNS_LABEL.fullmatch(name) else hashed(name)


def dns_subdomain(name: str) -> str:
    """The name if it is a DNS-1123 subdomain, else the readable one nearest to it."""
    if len(name) <= _LONGEST_SUBDOMAIN and _DNS_SUBDOMAIN.fullmatch(name):
        return name
    kebab = _HUMP.sub(r"\1-\2", name).lower()
    plain = _NOT_IN_SUBDOMAIN.sub("", kebab).strip(".-")
    if len(plain) > _LONGEST_SUBDOMAIN:
        head = plain[: _LONGEST_SUBDOMAIN - _LONGEST_UNIQUE_PART - 1]
        plain = f"{head}-{fitted(plain, _LONGEST_UNIQUE_PART)}"
    # What has no character that a name may have, or dots beside dashes, is no name yet.
    return plain if _DNS_SUBDOMAIN.fullmatch(plain) else hashed(name)
