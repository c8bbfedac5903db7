"""What a refused create means for those who cannot ask a person: refused for good, or to be tried again."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

import grpc

from flightlog_blobs import BlobError
from flightlog_log import LogUnavailable
from flightlog_rpc import RpcError
from flightlog_rpc.errors import translate

_FOR_GOOD: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_NOT_NOW: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED})


async def refusal_of(creating: Awaitable[object], name: str) -> RpcError | None:
    """Waits for the create of an execution; None when it was made, else why it is refused for good.

    Raises:
        LogUnavailable: it is not known whether it was made, or it cannot be now. Trying again, with the same name, is
            safe.
    """
    try:
        await creating
    except LogUnavailable:
        raise
    except BlobError as error:
        raise LogUnavailable(f"creating {name}: {error}") from error
    except Exception as error:
        planned = translate(error)
        if planned is not None and planned.code in _NOT_NOW:
            raise LogUnavailable(f"creating {name}: {planned.message}") from error
        if planned is None or planned.code not in _FOR_GOOD:
            raise
        return planned
    return None
