"""SignalService, as far as this release has signals: none (admin-contract §1.11)."""

from flyteidl.admin.signal_pb2 import SignalList, SignalListRequest

from flightlog_read import parse_page
from flightlog_rpc import CallContext
from services.execution.api import answers


async def list_signals(request: SignalListRequest, call: CallContext) -> SignalList:
    """ListSignals: gate nodes, the only source of signals, are refused at registration."""
    answers.execution_id(request, "workflow_execution_id")
    page = parse_page(request.limit, request.token, "ListSignals")
    return SignalList(token=page.next_token(0))
