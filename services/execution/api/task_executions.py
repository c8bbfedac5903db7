"""Reads of task executions: the attempts of a node's task (admin-contract §1.5)."""

from flyteidl.admin.task_execution_pb2 import (
    TaskExecution,
    TaskExecutionGetDataRequest,
    TaskExecutionGetDataResponse,
    TaskExecutionGetRequest,
    TaskExecutionList,
    TaskExecutionListRequest,
)
from flyteidl.core.identifier_pb2 import TaskExecutionIdentifier

from flightlog_read import parse_filters, parse_page, parse_sort
from flightlog_rpc import CallContext
from flightlog_types import urls
from services.execution import subjects
from services.execution.api import answers
from services.execution.api.data import Data
from services.execution.projection.entities import TASK_EXECUTION
from services.execution.projection.queries import Reads


class TaskExecutions:
    """The calls about attempts."""

    def __init__(self, reads: Reads, data: Data) -> None:
        self._reads = reads
        self._data = data

    async def get(self, request: TaskExecutionGetRequest, call: CallContext) -> TaskExecution:
        """GetTaskExecution."""
        return await self._find(answers.task_execution_id(request))

    async def list(self, request: TaskExecutionListRequest, call: CallContext) -> TaskExecutionList:
        """ListTaskExecutions: the attempts of one node; none for an unknown node."""
        node = answers.node_id(request, "node_execution_id")
        page = parse_page(request.limit, request.token, "ListTaskExecutions")
        where = parse_filters(request.filters, TASK_EXECUTION)
        order = parse_sort(request.sort_by if request.HasField("sort_by") else None, TASK_EXECUTION)
        found = await self._reads.tasks(subjects.key_of(node.execution_id), node.node_id, where, order, page)
        return TaskExecutionList(task_executions=found, token=page.next_token(len(found)))

    async def get_data(self, request: TaskExecutionGetDataRequest, call: CallContext) -> TaskExecutionGetDataResponse:
        """GetTaskExecutionData."""
        task = await self._find(answers.task_execution_id(request))
        (inputs, inputs_blob), (outputs, outputs_blob) = await self._data.of(task)
        return TaskExecutionGetDataResponse(
            inputs=inputs_blob,
            outputs=outputs_blob,
            full_inputs=inputs,
            full_outputs=outputs,
            flyte_urls=urls.task_urls(task.id.node_execution_id, task.id.retry_attempt, deck=False),
        )

    async def _find(self, identifier: TaskExecutionIdentifier) -> TaskExecution:
        node = identifier.node_execution_id
        task = await self._reads.task(subjects.key_of(node.execution_id), node.node_id, identifier.retry_attempt)
        # The key holds no task id: an attempt has one task, and another one in the request means nothing that exists.
        if task is None or task.id.task_id != identifier.task_id:
            raise answers.missing_task(identifier)
        return task
