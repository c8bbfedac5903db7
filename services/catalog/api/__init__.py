"""DataCatalog and CacheService: the cache as flyteidl defines it for others than our own engine."""

from __future__ import annotations

from collections.abc import Mapping

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_rpc import Implementation
from services.catalog.api.artifacts import Artifacts
from services.catalog.api.cache import Cache
from services.catalog.api.data import ArtifactsData
from services.catalog.api.datasets import Datasets
from services.catalog.api.reserving import Reserving
from services.catalog.keeping import Entries
from services.catalog.projection.queries import Reads
from services.catalog.reservations import Reservations

_DATACATALOG = "/datacatalog.DataCatalog/"
_CACHE = "/flyteidl.cacheservice.CacheService/"


def methods(
    log: Log, blobs: BlobStore, entries: Entries, reservations: Reservations, reads: Reads
) -> Mapping[str, Implementation]:
    """Full method name -> what answers it."""
    data = ArtifactsData(blobs)
    datasets = Datasets(log, reads)
    artifacts = Artifacts(log, entries, reads, datasets, data)
    cache = Cache(entries, data)
    reserving = Reserving(entries, reservations)
    return {
        f"{_DATACATALOG}CreateDataset": datasets.create,
        f"{_DATACATALOG}GetDataset": datasets.get,
        f"{_DATACATALOG}ListDatasets": datasets.list,
        f"{_DATACATALOG}CreateArtifact": artifacts.create,
        f"{_DATACATALOG}GetArtifact": artifacts.get,
        f"{_DATACATALOG}ListArtifacts": artifacts.list,
        f"{_DATACATALOG}UpdateArtifact": artifacts.update,
        f"{_DATACATALOG}AddTag": artifacts.add_tag,
        f"{_DATACATALOG}GetOrExtendReservation": reserving.reserve,
        f"{_DATACATALOG}ReleaseReservation": reserving.release,
        f"{_CACHE}Get": cache.get,
        f"{_CACHE}Put": cache.put,
        f"{_CACHE}Delete": cache.delete,
        f"{_CACHE}GetOrExtendReservation": reserving.reserve_key,
        f"{_CACHE}ReleaseReservation": reserving.release_key,
    }
