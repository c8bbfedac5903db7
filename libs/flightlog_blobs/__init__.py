"""The object store: put, get, sign, hash.

blobs = BlobStore.open(settings)
reference = await blobs.put(blobs.uri("runs", "a", "inputs.pb"), data)
assert await blobs.verified(reference) == data
"""

from .driver import BlobEntry, BlobStat
from .errors import BlobCorrupt, BlobError, BlobMissing, BlobRefused, BlobTooLarge
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
    "split",
]
