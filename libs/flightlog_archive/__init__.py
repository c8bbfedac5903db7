"""The archive: closed segments of the log's streams in the object store, as Parquet that anybody can read.

    <root>/<STREAM>/manifest.json             which segments there are; its last sequence is how far the archive is
    <root>/<STREAM>/<first>-<last>.parquet    messages in order; with a revision before the suffix once rewritten
    <root>/<STREAM>/<first>-<last>.subjects   hashes of the subjects in it, to find one without reading all

archive = Archive(blobs)
async for messages in archive.read("EXECUTION", after=0):
    ...
"""

from .archive import FOLDER, STREAMS, Archive
from .cold import ArchivedEvents
from .errors import ArchiveError, ArchiveTaken, ManifestDamaged, SegmentDamaged, SegmentMissing
from .manifest import Erased, Erasing, Manifest, Segment, link

__all__ = [
    "FOLDER",
    "STREAMS",
    "Archive",
    "ArchiveError",
    "ArchiveTaken",
    "ArchivedEvents",
    "Erased",
    "Erasing",
    "Manifest",
    "ManifestDamaged",
    "Segment",
    "SegmentDamaged",
    "SegmentMissing",
    "link",
]
