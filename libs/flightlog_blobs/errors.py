"""What can go wrong with the object store."""


class BlobError(Exception):
    """The object store refuses, or cannot be reached."""


class BlobMissing(BlobError):
    """There is no such object."""


class BlobTooLarge(BlobError):
    """The object is larger than the reader wants."""


class BlobCorrupt(BlobError):
    """The object is not what its reference says."""
