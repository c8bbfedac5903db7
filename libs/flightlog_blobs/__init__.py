"""The object store: put, get, sign, hash.

blobs = BlobStore.open(settings)
reference = await blobs.put(blobs.uri("runs", "a", "inputs.pb"), data)
assert await blobs.verified(reference) == data
"""

from .driver import BlobEntry, BlobStat, Driver
from .errors import BlobCorrupt, BlobError, BlobMissing, BlobRefused, BlobTooLarge
from .reading import ReadOnlyDriver
from .settings import BlobSettings
from .store import BlobStore, split

__all__ = [
    "BlobCorrupt",
    "BlobEntry",
    "BlobError",
    "BlobMissing",
    "BlobRefused",
    "BlobSettings",
    "BlobStat",
    "BlobStore",
    "BlobTooLarge",
    "Driver",
    "ReadOnlyDriver",
    "split",
]
