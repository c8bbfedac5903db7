"""Reads of node executions (admin-contract §1.5)."""

import asyncio

from flyteidl.admin.node_execution_pb2 import (
    DynamicNodeWorkflowResponse,
    DynamicWorkflowNodeMetadata,
    GetDynamicNodeWorkflowRequest,
    NodeExecution,
    NodeExecutionForTaskListRequest,
    NodeExecutionGetDataRequest,
    NodeExecutionGetDataResponse,
    NodeExecutionGetRequest,
    NodeExecutionList,
    NodeExecutionListRequest,
)
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier

from flightlog_read import parse_filters, parse_page, parse_sort
from flightlog_rpc import CallContext, not_found
from flightlog_types import urls
from services.execution import subjects
from services.execution.api import answers
from services.execution.api.data import Data
from services.execution.projection.entities import NODE_EXECUTION
from services.execution.projection.queries import Reads


class NodeExecutions:
    """The calls about nodes."""

    def __init__(self, reads: Reads, data: Data) -> None:
        self._reads = reads
        self._data = data

    async def get(self, request: NodeExecutionGetRequest, call: CallContext) -> NodeExecution:
        """GetNodeExecution."""
        return await self.find(answers.node_id(request))

    async def find(self, identifier: NodeExecutionIdentifier) -> NodeExecution:
        """The node execution. Raises RpcError: NOT_FOUND."""
        node = await self._reads.node(subjects.key_of(identifier.execution_id), identifier.node_id)
        if node is None:
            raise answers.missing_node(identifier)
        return node

    async def list(self, request: NodeExecutionListRequest, call: CallContext) -> NodeExecutionList:
        """ListNodeExecutions: the roots, or the direct children of one node."""
        identifier = answers.execution_id(request, "workflow_execution_id")
        page = parse_page(request.limit, request.token, "ListNodeExecutions")
        where = parse_filters(request.filters, NODE_EXECUTION)
        order = parse_sort(request.sort_by if request.HasField("sort_by") else None, NODE_EXECUTION)
        key = subjects.key_of(identifier)
        if request.unique_parent_id:
            await self.find(NodeExecutionIdentifier(node_id=request.unique_parent_id, execution_id=identifier))
        found = await self._reads.nodes(key, request.unique_parent_id, where, order, page)
        for node in found:
            if node.closure.HasField("error"):
                answers.cut_error(node.closure.error)
        return NodeExecutionList(node_executions=found, token=page.next_token(len(found)))

    async def list_for_task(self, request: NodeExecutionForTaskListRequest, call: CallContext) -> NodeExecutionList:
        """ListNodeExecutionsForTask. Children are listed under their parent node; none belongs to a task execution."""
        identifier = answers.task_execution_id(request, "task_execution_id")
        page = parse_page(request.limit, request.token, "ListNodeExecutionsForTask")
        parse_filters(request.filters, NODE_EXECUTION)
        parse_sort(request.sort_by if request.HasField("sort_by") else None, NODE_EXECUTION)
        node = identifier.node_execution_id
        task = await self._reads.task(subjects.key_of(node.execution_id), node.node_id, identifier.retry_attempt)
        if task is None:
            raise answers.missing_task(identifier)
        return NodeExecutionList(token=page.next_token(0))

    async def get_data(self, request: NodeExecutionGetDataRequest, call: CallContext) -> NodeExecutionGetDataResponse:
        """GetNodeExecutionData."""
        node = await self.find(answers.node_id(request))
        ((inputs, inputs_blob), (outputs, outputs_blob)), closure = await asyncio.gather(
            self._data.of(node), self._dynamic_closure(node)
        )
        return NodeExecutionGetDataResponse(
            inputs=inputs_blob,
            outputs=outputs_blob,
            full_inputs=inputs,
            full_outputs=outputs,
            dynamic_workflow=DynamicWorkflowNodeMetadata(
                id=closure.primary.template.id,
                compiled_workflow=closure,
                dynamic_job_spec_uri=node.closure.dynamic_job_spec_uri,
            )
            if closure is not None
            else None,
            flyte_urls=urls.node_urls(node.id, deck=bool(node.closure.deck_uri)),
        )

    async def get_dynamic_workflow(
        self, request: GetDynamicNodeWorkflowRequest, call: CallContext
    ) -> DynamicNodeWorkflowResponse:
        """GetDynamicNodeWorkflow: what a dynamic node's task asked for, compiled.

        Raises:
            RpcError: NOT_FOUND for a node of another kind, or whose task has not asked for anything yet.
        """
        identifier = answers.node_id(request)
        closure = await self._dynamic_closure(await self.find(identifier))
        if closure is None:
            raise not_found(f"node execution {identifier.node_id} has no dynamic workflow")
        return DynamicNodeWorkflowResponse(compiled_workflow=closure)

    async def _dynamic_closure(self, node: NodeExecution) -> CompiledWorkflowClosure | None:
        if not node.metadata.is_dynamic:
            return None
        key = subjects.key_of(node.id.execution_id)
        return await self._data.closure(await self._reads.dynamic_closure(key, node.id.node_id))
