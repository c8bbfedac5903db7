"""QueueService: who runs and who waits where it is limited how many may at once, and what nodes wait for."""

from datetime import UTC, datetime

from flightlog_protos.execution.v1.queue_service_pb2 import (
    ListQueuesRequest,
    ListQueuesResponse,
    ListWaitsRequest,
    ListWaitsResponse,
)
from flightlog_rpc import CallContext, missing
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.words import listed
from services.execution.api import answers
from services.execution.shell import Shell
from services.execution.waits import waits


class QueueCalls:
    """The calls about queues."""

    def __init__(self, admission: Admission, shell: Shell) -> None:
        self._admission = admission
        self._shell = shell

    async def list(self, request: ListQueuesRequest, call: CallContext) -> ListQueuesResponse:
        """ListQueues: as they are now, straight from the log.

        Raises:
            RpcError: INVALID_ARGUMENT when a domain is named without its project, or the other way round.
        """
        if bool(request.project) != bool(request.domain):
            raise missing("domain" if request.project else "project")
        if request.project:
            # Where no execution can be, none is in a queue.
            possible = subjects.execution((request.project, request.domain, "any")) is not None
            places = [(request.project, request.domain)] if possible else []
        else:
            places = await self._admission.places()
        response = ListQueuesResponse()
        for project, domain in places:
            queue = await self._admission.look(project, domain)
            response.queues.extend(listed(queue, project, domain, request.execution))
        return response

    async def list_waits(self, request: ListWaitsRequest, call: CallContext) -> ListWaitsResponse:
        """ListWaits: as the log has it now.

        Raises:
            RpcError: INVALID_ARGUMENT without a whole id; NOT_FOUND when there is no such execution.
        """
        identifier = answers.execution_id(request)
        state = await self._shell.state(subjects.key_of(identifier))
        if state is None:
            raise answers.missing_execution(identifier)
        if state.phase.terminal:
            return ListWaitsResponse()
        return ListWaitsResponse(waits=waits(state, datetime.now(UTC)))
