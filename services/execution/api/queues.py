"""QueueService: who runs and who waits where it is limited how many executions run at once."""

from flightlog_protos.execution.v1.queue_service_pb2 import ListQueuesRequest, ListQueuesResponse
from flightlog_rpc import CallContext, missing
from services.execution import subjects
from services.execution.admission.admission import Admission
from services.execution.admission.words import listed


class QueueCalls:
    """The calls about queues."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

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
