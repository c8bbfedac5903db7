"""DataProxyService, as far as it reads: `flyte://` URLs, download links and locations (admin-contract §1.10)."""

from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.task_execution_pb2 import TaskExecution
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.service.dataproxy_pb2 import (
    ARTIFACT_TYPE_DECK,
    CreateDownloadLinkRequest,
    CreateDownloadLinkResponse,
    CreateDownloadLocationRequest,
    CreateDownloadLocationResponse,
    GetDataRequest,
    GetDataResponse,
    PreSignedURLs,
)
from google.protobuf.duration_pb2 import Duration

from flightlog_blobs import BlobError, split
from flightlog_rpc import CallContext, invalid, not_found
from flightlog_types import urls
from flightlog_types.urls import Artifact, FlyteUrl
from services.execution import subjects
from services.execution.api import answers
from services.execution.api.data import Data, outputs_uri
from services.execution.api.node_executions import NodeExecutions
from services.execution.projection.queries import Reads


class Downloads:
    """The calls that lead to data."""

    def __init__(self, reads: Reads, data: Data, nodes: NodeExecutions) -> None:
        self._reads = reads
        self._data = data
        self._nodes = nodes

    async def get_data(self, request: GetDataRequest, call: CallContext) -> GetDataResponse:
        """GetData: what a `flyte://` URL names."""
        try:
            url = urls.parse(request.flyte_url)
        except urls.BadFlyteUrl as error:
            raise invalid(f"failed to validate resolve artifact request. Error: {error}") from None
        if url.artifact is Artifact.DECK:
            return GetDataResponse(pre_signed_urls=await self._deck_of_url(url))
        literals = await self._literals(url)
        if url.literal is None:
            return GetDataResponse(literal_map=literals)
        if url.literal not in literals.literals:
            raise invalid(f"{request.flyte_url} names the literal {url.literal}, which does not exist")
        return GetDataResponse(literal=literals.literals[url.literal])

    async def create_download_link(
        self, request: CreateDownloadLinkRequest, call: CallContext
    ) -> CreateDownloadLinkResponse:
        """CreateDownloadLink: the deck of a node."""
        if request.artifact_type != ARTIFACT_TYPE_DECK:
            raise invalid(f"artifact type {request.artifact_type} has no links: only decks have")
        identifier = answers.node_id(request, "node_execution_id")
        node = await self._reads.node(subjects.key_of(identifier.execution_id), identifier.node_id)
        if node is None:
            raise invalid(answers.missing_node(identifier).message)
        links = await self._deck(node, request.expires_in if request.HasField("expires_in") else None)
        return CreateDownloadLinkResponse(
            signed_url=links.signed_url, expires_at=links.expires_at, pre_signed_urls=links
        )

    async def create_download_location(
        self, request: CreateDownloadLocationRequest, call: CallContext
    ) -> CreateDownloadLocationResponse:
        """CreateDownloadLocation: an address of any object, whether it exists or not."""
        try:
            split(request.native_url)
        except BlobError as error:
            raise invalid(f"invalid value for native_url: {error}") from None
        wanted = request.expires_in if request.HasField("expires_in") else None
        address, until = self._data.signed(request.native_url, wanted)
        return CreateDownloadLocationResponse(signed_url=address, expires_at=until)

    async def _literals(self, url: FlyteUrl) -> LiteralMap:
        run: NodeExecution | TaskExecution | None
        if url.attempt is None:
            run = await self._nodes.find(url.node_execution_id)
        else:
            run = await self._reads.task(subjects.key_of(url.execution_id), url.node_id, url.attempt)
            if run is None:
                await self._nodes.find(url.node_execution_id)
                raise invalid(f"node {url.node_id} has no attempt {url.attempt}")
        return await self._data.whole(run.input_uri if url.artifact is Artifact.INPUTS else outputs_uri(run))

    async def _deck_of_url(self, url: FlyteUrl) -> PreSignedURLs:
        if url.attempt is not None:
            raise invalid(f"{url} names the deck of an attempt, but only nodes have decks")
        return await self._deck(await self._nodes.find(url.node_execution_id), None)

    async def _deck(self, node: NodeExecution, wanted: Duration | None) -> PreSignedURLs:
        uri = node.closure.deck_uri
        if not uri or not await self._data.exists(uri):
            raise not_found(f"node execution {node.id.node_id} has no deck")
        address, until = self._data.signed(uri, wanted)
        return PreSignedURLs(signed_url=[address], expires_at=until)
