"""What a method knows of its call: who asks, from where, with which metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from flightlog_log import Cause
from flightlog_rpc.moments import Moment

FORWARDED_FOR = "x-forwarded-for"
FORWARDED_USER_AGENT = "flightlog-forwarded-user-agent"
TRACEPARENT = "traceparent"


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call as the server saw it.

    `peer` is the chain of addresses the call came through, the direct peer last; all but the last are claims of others.
    `principal` is the authenticated user, "" while authentication is off. `as_of` is the moment that the call asks
    about; None: now.
    """

    metadata: Mapping[str, str | bytes]
    peer: str
    user_agent: str
    principal: str = ""
    traceparent: str = ""
    as_of: Moment | None = None

    @staticmethod
    def of(metadata: Sequence[tuple[str, str | bytes]], peer: str, traceparent: str = "") -> "CallContext":
        """Reads the call's metadata; keys are lower case, of a repeated key the last value counts."""
        keyed = dict(metadata)
        address = peer_address(peer)
        through = _text(keyed.get(FORWARDED_FOR))
        return CallContext(
            keyed,
            f"{through}, {address}" if through else address,
            _text(keyed.get(FORWARDED_USER_AGENT)) or _text(keyed.get("user-agent")),
            "",
            traceparent or _text(keyed.get(TRACEPARENT)),
        )

    def value(self, key: str) -> str:
        """A metadata value as text, "" when absent."""
        return _text(self.metadata.get(key))

    def cause(self) -> Cause:
        """Who made the following facts happen: as claimed by the client, unverified (DESIGN §6)."""
        return Cause.request(
            subject=self.principal or self.user_agent,
            client=self.user_agent,
            address=self.peer,
            traceparent=self.traceparent,
        )


def peer_address(peer: str) -> str:
    """`127.0.0.1:5000` for gRPC's `ipv4:127.0.0.1:5000`; `[::1]:5000` for `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = peer.partition(":")
    if kind == "ipv4":
        return rest
    if kind == "ipv6":
        return unquote(rest)
    return peer


def _text(value: str | bytes | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
