"""Datasets of DataCatalog (engine-semantics §4.7). Results of the engine have theirs, too."""

from __future__ import annotations

from flyteidl.datacatalog import datacatalog_pb2 as datacatalog

from flightlog_log import Conflict, Head, Log
from flightlog_rpc import CallContext, RpcError, already_exists, missing_entity
from flightlog_types import prototext
from services.catalog import artifacts, subjects
from services.catalog.api import checks, listing
from services.catalog.keeping import now
from services.catalog.projection.queries import Reads


class Datasets:
    """`CreateDataset`, `GetDataset`, `ListDatasets`."""

    def __init__(self, log: Log, reads: Reads) -> None:
        self._log = log
        self._reads = reads

    async def create(
        self, request: datacatalog.CreateDatasetRequest, call: CallContext
    ) -> datacatalog.CreateDatasetResponse:
        """Raises INVALID_ARGUMENT, and ALREADY_EXISTS where a client or the engine has made it."""
        dataset = request.dataset
        checks.new_dataset(dataset)
        fact = artifacts.dataset_created(dataset, now())
        known = datacatalog.DatasetID()
        known.CopyFrom(dataset.id)
        known.UUID = ""
        taken = await self._reads.dataset(known) is not None
        if taken or (dataset.id.UUID and await self._reads.has_uuid(dataset.id.UUID)):
            raise _taken(dataset.id)
        try:
            await self._log.append(subjects.dataset(fact.dataset), [fact], head=Head.EMPTY, cause=call.cause())
        except Conflict:
            raise _taken(dataset.id) from None
        return datacatalog.CreateDatasetResponse()

    async def get(self, request: datacatalog.GetDatasetRequest, call: CallContext) -> datacatalog.GetDatasetResponse:
        """Raises INVALID_ARGUMENT, NOT_FOUND."""
        checks.dataset_id(request.HasField("dataset"), request.dataset)
        return datacatalog.GetDatasetResponse(dataset=await self.found(request.dataset))

    async def list(
        self, request: datacatalog.ListDatasetsRequest, call: CallContext
    ) -> datacatalog.ListDatasetsResponse:
        """Raises INVALID_ARGUMENT."""
        wanted = listing.of_datasets(request)
        found = await self._reads.datasets(wanted)
        return datacatalog.ListDatasetsResponse(datasets=found, next_token=str(wanted.page.offset + len(found)))

    async def found(self, dataset: datacatalog.DatasetID) -> datacatalog.Dataset:
        """A dataset. Raises NOT_FOUND."""
        found = await self._reads.dataset(dataset)
        if found is None:
            name = artifacts.dataset_name(dataset)
            raise missing_entity("Dataset", prototext(name))
        return found


def _taken(dataset: datacatalog.DatasetID) -> RpcError:
    return already_exists(f"value with matching already exists (dataset {prototext(artifacts.dataset_name(dataset))})")
