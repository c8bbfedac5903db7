"""The error vocabulary of the gRPC surface, and the one place where an exception becomes a status.

Clients branch on codes, never on texts (admin-contract §0.1), with two consequences kept here: nothing ever leaves as
UNKNOWN, because flytekit answers UNKNOWN with a login attempt (T1), and no message is so long that the trailers break
the client's metadata limit and turn the real code into RESOURCE_EXHAUSTED (T8).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from flightlog_blobs import BlobCorrupt, BlobError, BlobMissing, BlobTooLarge
from flightlog_log import Conflict, LogUnavailable

DETAILS_KEY = "grpc-status-details-bin"

MAX_MESSAGE_BYTES = 32_000
"""Longest status message on the wire, after percent-encoding. flytekit accepts 32 KiB of metadata (admin-contract
§0.1, T8).
"""

MAX_MESSAGE_BYTES_WITH_DETAILS = 8_000
"""The same when details are attached: they repeat the message in base64 (admin-contract T8)."""

MAX_DETAILS_BYTES = 12_000
"""Largest google.rpc.Status sent along. A larger one is dropped, as Flyte drops the details of a message it has to
cut.
"""

_CUT = " [cut]"


class RpcError(Exception):
    """A refusal the client must see exactly as it is.

    Args:
        code: the gRPC status code.
        message: one sentence for a person; cut when it is too long for the trailers.
        details: a typed reason that clients unpack from `grpc-status-details-bin`, such as `admin.EventFailureReason`.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: Message | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def __repr__(self) -> str:
        return f"RpcError({self.code.name}, {self.message!r})"


def invalid(message: str, details: Message | None = None) -> RpcError:
    """INVALID_ARGUMENT: the request itself is wrong, whatever the state of the server."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message, details)


def missing(field: str) -> RpcError:
    """INVALID_ARGUMENT for an empty required field, in Flyte's words (admin-contract §0.1)."""
    return invalid(f"missing {field}")


def invalid_value(field: str) -> RpcError:
    """INVALID_ARGUMENT for an illegal value, in Flyte's words (admin-contract §0.1)."""
    return invalid(f"invalid value for {field}")


def not_found(message: str) -> RpcError:
    """NOT_FOUND: the named thing does not exist."""
    return RpcError(grpc.StatusCode.NOT_FOUND, message)


def missing_entity(kind: str, identifier: str) -> RpcError:
    """NOT_FOUND in the recorded form. `identifier` is the one-line text form of the request's id."""
    return not_found(f"missing entity of type {kind} with identifier {identifier}")


def already_exists(message: str, details: Message | None = None) -> RpcError:
    """ALREADY_EXISTS: the same thing is there already; clients take it as success (admin-contract T2)."""
    return RpcError(grpc.StatusCode.ALREADY_EXISTS, message, details)


def failed_precondition(message: str, details: Message | None = None) -> RpcError:
    """FAILED_PRECONDITION: right request, wrong state (admin-contract T5)."""
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, message, details)


def resource_exhausted(message: str) -> RpcError:
    """RESOURCE_EXHAUSTED: too large, or too many."""
    return RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def out_of_range(message: str) -> RpcError:
    """OUT_OF_RANGE: there is no such moment on the log, or no such place in an order."""
    return RpcError(grpc.StatusCode.OUT_OF_RANGE, message)


def unimplemented(message: str) -> RpcError:
    """UNIMPLEMENTED: this release does not serve it."""
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, message)


def unavailable(message: str) -> RpcError:
    """UNAVAILABLE: a part is down or late; the same call may succeed soon. go-grpc clients repeat it
    (admin-contract §2.0).
    """
    return RpcError(grpc.StatusCode.UNAVAILABLE, message)


def internal(message: str) -> RpcError:
    """INTERNAL: our fault."""
    return RpcError(grpc.StatusCode.INTERNAL, message)


@dataclass(frozen=True, slots=True)
class WireStatus:
    """A status ready for the trailers: the message fits, the details are encoded."""

    code: grpc.StatusCode
    message: str
    trailers: tuple[tuple[str, str | bytes], ...]


def translate(error: BaseException) -> RpcError | None:
    """The status an exception asks for, or None when nobody planned for it (the caller logs it and answers INTERNAL).

    Packages below this one do not know gRPC: they raise errors with `grpc_code` (a status name) and `message`.
    An object store that is away means "not now", an object that is lost or damaged does not get better. A database
    error is told by its SQLSTATE: class 08 (connection), 57P (shutdown), 53 (resources) mean "not now",
    class 22 a value that Postgres cannot hold, such as text with a NUL character.
    """
    if isinstance(error, RpcError):
        return error
    code = getattr(error, "grpc_code", None)
    if isinstance(code, grpc.StatusCode):
        code = code.name
    if isinstance(code, str) and code in grpc.StatusCode.__members__ and code not in ("OK", "UNKNOWN"):
        details = getattr(error, "details", None)
        return RpcError(
            grpc.StatusCode[code],
            str(getattr(error, "message", None) or error),
            details if isinstance(details, Message) else None,
        )
    if isinstance(error, LogUnavailable):
        return unavailable(f"the log is not available now: {error}")
    if isinstance(error, BlobError) and not isinstance(error, BlobMissing | BlobCorrupt | BlobTooLarge):
        return unavailable("the object store is not available now")
    if isinstance(error, Conflict):
        return RpcError(grpc.StatusCode.ABORTED, "somebody else changed it at the same moment")
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str) and sqlstate.startswith("22"):
        return invalid("a value of the request cannot be compared or stored: " + str(error))
    if isinstance(sqlstate, str) and sqlstate.startswith(("08", "57P", "53")):
        return unavailable("the database is not available now")
    if isinstance(error, TimeoutError):
        return unavailable(f"a part of the server did not answer in time: {error}".removesuffix(": "))
    if isinstance(error, OSError):
        return unavailable("a part of the server is not reachable now")
    return None


def to_wire(error: RpcError) -> WireStatus:
    """Cuts the message to what trailers carry and packs the details (admin-contract §0.1, T8)."""
    code = error.code if error.code not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN) else grpc.StatusCode.INTERNAL
    if error.details is None:
        return WireStatus(code, cut(error.message, MAX_MESSAGE_BYTES), ())
    message = cut(error.message, MAX_MESSAGE_BYTES_WITH_DETAILS)
    packed = Any()
    packed.Pack(error.details)
    number: int = code.value[0]
    status = Status(code=number, message=message, details=[packed]).SerializeToString()
    if len(status) > MAX_DETAILS_BYTES:
        return WireStatus(code, message, ())
    return WireStatus(code, message, ((DETAILS_KEY, status),))


def encoded_length(text: str) -> int:
    """Bytes `text` takes as a `grpc-message` trailer: printable ASCII but '%' takes one byte, every other byte
    three.
    """
    return sum(_encoded_lengths(text.encode("utf-8", "replace")))


def cut(message: str, limit: int) -> str:
    """`message`, shortened at a character so that its percent-encoded form has at most `limit` bytes."""
    data = message.encode("utf-8", "replace")
    if len(data) * 3 <= limit:
        return data.decode()
    room = limit - len(_CUT)
    total = 0
    fits = 0
    for position, length in enumerate(_encoded_lengths(data)):
        total += length
        if total <= room:
            fits = position + 1
        if total > limit:
            return data[:fits].decode("utf-8", "ignore") + _CUT
    return data.decode()


def _encoded_lengths(data: bytes) -> Iterable[int]:
    return (1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in data)
