"""Reads as of the moment that a call asks about (`flightlog_rpc.as_of`)."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from flightlog_rpc import CallContext, Implementation
from services.execution.projection.queries import Reads


def as_asked(reads: Reads, of: Callable[[Reads], Implementation]) -> Implementation:
    """The method that `of` makes of reads: of those of now, or of those as of the moment that its call asks about."""
    now = of(reads)

    async def answer(request: Any, call: CallContext) -> Message:
        if call.as_of is None:
            return await now(request, call)
        return await of(await reads.as_of(call.as_of))(request, call)

    return answer
