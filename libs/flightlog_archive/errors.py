"""What can go wrong with the archive. That the object store is away is a `BlobError`, as everywhere."""


class ArchiveError(Exception):
    """Anything that is wrong with the archive."""


class ManifestDamaged(ArchiveError):
    """A manifest is no manifest, or one of a later release."""


class SegmentDamaged(ArchiveError):
    """A segment is not what its manifest says."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri}: {reason}")
        self.uri = uri
        self.reason = reason


class SegmentMissing(SegmentDamaged):
    """A segment that the manifest names is not in the object store."""


class ArchiveTaken(ArchiveError):
    """Somebody else has written the manifest since it was read: begin again from what is there now."""
