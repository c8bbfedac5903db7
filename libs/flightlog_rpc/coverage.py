"""The page that lists what is served, made from the routing table."""

from collections.abc import Iterable

from flightlog_rpc.methods import METHODS, Method
from flightlog_rpc.routing import OWNERS, SERVED, without_authentication

_HEAD = """# API coverage

Generated from the routing table (`libs/flightlog_rpc/routing.py`). A method that is not served answers `UNIMPLEMENTED`
with a sentence that says which service will serve it.
"""


def render() -> str:
    """The page as Markdown: a table for each gRPC service, in the order of the protos."""
    parts = [_HEAD, _summary()]
    services = dict.fromkeys(method.service for method in METHODS.values())
    parts.extend(_section(service, [m for m in METHODS.values() if m.service == service]) for service in services)
    return "\n".join(parts)


def _summary() -> str:
    lines = ["| service | served | methods |", "|---|---|---|"]
    for owner in dict.fromkeys(OWNERS.values()):
        owned = [name for name, service in OWNERS.items() if service == owner]
        lines.append(f"| `{owner}` | {sum(name in SERVED for name in owned)} | {len(owned)} |")
    lines.append(f"| all | {len(SERVED)} | {len(OWNERS)} |")
    return "\n".join(lines) + "\n"


def _section(service: str, methods: Iterable[Method]) -> str:
    lines = [f"## {service}", "", "| method | owner | served |", "|---|---|---|"]
    lines.extend(f"| {method.name} | `{OWNERS[method.full_name]}` | {_state(method.full_name)} |" for method in methods)
    return "\n".join(lines) + "\n"


def _state(name: str) -> str:
    if name in SERVED:
        return "yes"
    return "no: authentication is off" if without_authentication(name) else "not yet"
