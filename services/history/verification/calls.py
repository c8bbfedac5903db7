"""The method VerifyChain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from flightlog_archive import STREAMS
from flightlog_log import Subject
from flightlog_protos.history.v1 import verification_pb2 as pb
from flightlog_rpc import CallContext, invalid, resource_exhausted
from services.history.verification.findings import Finding
from services.history.verification.verifying import Progress, Verification


class VerificationCalls:
    """Answers one check of whole streams at a time: it reads all that there is."""

    def __init__(self, verification: Verification) -> None:
        self._verification = verification
        self._busy = asyncio.Lock()

    async def verify_chain(
        self, request: pb.VerifyChainRequest, _call: CallContext
    ) -> AsyncGenerator[pb.VerifyChainResponse]:
        """Findings as they are made, with signs of progress between; `done` on the last message.

        Raises:
            RpcError: INVALID_ARGUMENT for a stream or subject that is none; RESOURCE_EXHAUSTED while another check of
                whole streams is under way here.
            LogUnavailable, BlobError, DatabaseUnavailable: a part is away.
        """
        if request.subject:
            if request.streams:
                raise invalid("streams and a subject cannot be asked for at once")
            try:
                stream = Subject.parse(request.subject).stream
            except ValueError as error:
                raise invalid(f"not a subject: {error}") from None
            _known(stream)
            async with aclosing(self._verification.subject(request.subject, archive=request.archive)) as found:
                async for one in found:
                    yield _told(one)
        else:
            for stream in request.streams:
                _known(stream)
            if self._busy.locked():
                raise resource_exhausted("another check of whole streams is under way")
            async with (
                self._busy,
                aclosing(self._verification.streams(request.streams, archive=request.archive)) as found,
            ):
                async for one in found:
                    yield _told(one)
        yield pb.VerifyChainResponse(progress=pb.VerifyChainResponse.Progress(done=True))


def _known(stream: str) -> None:
    if stream not in STREAMS:
        raise invalid(f"{stream!r} is no stream that is kept; those are {', '.join(STREAMS)}")


def _told(one: Finding | Progress) -> pb.VerifyChainResponse:
    if isinstance(one, Progress):
        return pb.VerifyChainResponse(
            progress=pb.VerifyChainResponse.Progress(
                stream=one.stream,
                checked=one.checked,
                total=one.total,
                stream_done=one.stream_done,
                messages=one.messages,
                subjects=one.subjects,
                archived=one.archived,
                trimmed=one.trimmed,
            )
        )
    return pb.VerifyChainResponse(
        finding=pb.Finding(
            kind=one.kind,
            stream=one.stream,
            subject=one.subject,
            sequence=one.sequence,
            position=one.position,
            uri=one.uri,
            message=one.message,
            repair=one.repair,
        )
    )
