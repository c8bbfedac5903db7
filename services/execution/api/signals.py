"""SignalService, as far as this release has signals: none (admin-contract §1.11)."""

from flyteidl.admin.signal_pb2 import SignalList, SignalListRequest

from flightlog_read import parse_filters, parse_page, parse_sort
from flightlog_rpc import CallContext
from services.execution.api import answers
from services.execution.projection.entities import SIGNAL


async def list_signals(request: SignalListRequest, call: CallContext) -> SignalList:
    """ListSignals: gate nodes, the only source of signals, are refused at registration."""
    answers.execution_id(request, "workflow_execution_id")
    page = parse_page(request.limit, request.token, "ListSignals")
    parse_filters(request.filters, SIGNAL)
    parse_sort(request.sort_by if request.HasField("sort_by") else None, SIGNAL)
    return SignalList(token=page.next_token(0))
