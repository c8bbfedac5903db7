"""What can be repaired while the stack runs: the archive from the log, and payloads from the archive.

A segment is made again from the messages that the log still has, if these give the chain that the manifest has: then
they are what was in it. Facts that are missing in the object store are put back from the archive's copy, whose hash is
in the envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from flightlog_archive import Archive, ArchiveError, Manifest, Segment
from flightlog_archive.writing import StreamWriter
from flightlog_blobs import BlobStore
from flightlog_log import Log, Raw
from flightlog_log.envelopes import parse_envelope
from flightlog_read import Database
from services.history.archiving.leading import leadership
from services.history.verification.findings import PAYLOAD, REPAIR, Finding


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of one thing that was to be repaired."""

    finding: Finding
    error: str = ""
    """Why it was not; empty: it was."""


class Repairs:
    """Repairs findings of a check of log and archive."""

    def __init__(self, log: Log, blobs: BlobStore, archive: Archive, database: Database) -> None:
        self._log = log.hot()
        self._blobs = blobs
        self._archive = archive
        self._database = database

    async def repair(self, findings: Sequence[Finding]) -> list[Repaired]:
        """Repairs all of these that can be. Payloads come first: segments have copies of them.

        Raises `LogUnavailable`, `BlobError` and Postgres' errors when a part is away; it can be called again.
        """
        wanted = [finding for finding in findings if finding.repair == REPAIR]
        repaired: list[Repaired] = []
        of_segments: dict[tuple[str, int], Finding] = {}
        for finding in wanted:
            if finding.kind == PAYLOAD and await self._payload(finding):
                repaired.append(Repaired(finding))
            else:
                of_segments.setdefault((finding.stream, finding.sequence), finding)
        if of_segments:
            # The archiver would write the manifest meanwhile.
            async with leadership(self._database, displace=True) as lead:
                for stream in dict.fromkeys(stream for stream, _ in of_segments):
                    writer = await StreamWriter.open(self._archive, stream, lead.confirm, clean=False)
                    mine = [finding for (other, _), finding in of_segments.items() if other == stream]
                    repaired += await self._segments(writer, mine)
        return repaired

    async def _payload(self, finding: Finding) -> bool:
        """Puts facts back that the archive has."""
        try:
            async for rows in self._archive.read(finding.stream, after=finding.sequence - 1, until=finding.sequence):
                for row in rows:
                    if row.data is None or row.payload is None:
                        continue
                    reference = parse_envelope(row.data).offloaded
                    if sha256(row.payload).digest() == reference.sha256:
                        await self._blobs.put(reference.uri, row.payload)
                        return True
        except ArchiveError:
            return False  # the segment is a finding of its own
        return False

    async def _segments(self, writer: StreamWriter, findings: Sequence[Finding]) -> list[Repaired]:
        repaired: list[Repaired] = []
        done: dict[str, str] = {}
        for finding in findings:
            segment = _segment_of(writer.manifest, finding.sequence)
            if segment is None:
                repaired.append(Repaired(finding, "no segment has this sequence any more"))
                continue
            place = f"{segment.first}"
            if place not in done:
                done[place] = await self._segment(writer, segment)
            repaired.append(Repaired(finding, done[place]))
        return repaired

    async def _segment(self, writer: StreamWriter, segment: Segment) -> str:
        """Why it cannot be made again; empty: it was."""
        messages: list[Raw] = []
        after = segment.first - 1
        while after < segment.last:
            batch = await self._log.stored_after(writer.manifest.stream, ">", after, _BATCH)
            if not batch:
                break
            messages += [raw for raw in batch if raw.sequence <= segment.last]
            after = batch[-1].sequence
        if not messages:
            return "the log has none of its messages any more"
        try:
            await writer.remake(segment, messages)
        except ArchiveError as error:
            return str(error)
        return ""


_BATCH = 512


def _segment_of(manifest: Manifest, sequence: int) -> Segment | None:
    return next((one for one in manifest.segments if one.first <= sequence <= one.last), None)
