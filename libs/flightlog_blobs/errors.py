"""What can go wrong with the object store."""


class BlobError(Exception):
    """The object store refuses, or cannot be reached."""


class BlobRefused(BlobError):
    """The object store will not do it, however often it is asked: keys, names or rights are wrong."""


class BlobMissing(BlobError):
    """There is no such object."""


class BlobTooLarge(BlobError):
    """The object is larger than the reader wants."""


class BlobCorrupt(BlobError):
    """The object is not what its reference says."""
