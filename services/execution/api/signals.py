"""SignalService: the values that gate nodes wait for (admin-contract §1.11)."""

from flyteidl.admin.signal_pb2 import (
    Signal,
    SignalGetOrCreateRequest,
    SignalList,
    SignalListRequest,
    SignalSetRequest,
    SignalSetResponse,
)
from flyteidl.core.identifier_pb2 import SignalIdentifier

from flightlog_read import parse_filters, parse_page, parse_sort
from flightlog_rpc import CallContext, RpcError, already_exists, internal, invalid, invalid_value, missing
from flightlog_types import literal_type_of, prototext
from services.execution import subjects
from services.execution.api import answers
from services.execution.engine import AwaitSignal, Refusal, Refused, SetSignal
from services.execution.projection.entities import SIGNAL
from services.execution.projection.queries import Reads
from services.execution.shell import Shell


class Signals:
    """The calls about signals."""

    def __init__(self, shell: Shell, reads: Reads) -> None:
        self._shell = shell
        self._reads = reads

    async def get_or_create(self, request: SignalGetOrCreateRequest, call: CallContext) -> Signal:
        """GetOrCreateSignal: the signal with its value, if it has one. A gate that asks for it later finds it."""
        identifier = _signal_id(request)
        if not request.HasField("type"):
            raise missing("type")
        key = subjects.key_of(identifier.execution_id)
        known = await self._reads.signal(key, identifier.signal_id)
        if known is None or known.type != request.type:
            command = AwaitSignal(identifier.signal_id, request.type)
            try:
                await self._shell.dispatch(key, command, call.cause())
            except Refused as refused:
                if refused.reason is Refusal.WRONG_TYPE:
                    message = f"signal [{identifier.signal_id}] exists with type [{refused.detail}]"
                    raise already_exists(message) from None
                raise answers.missing_execution(identifier.execution_id) from None
            known = await self._reads.signal(key, identifier.signal_id)
        if known is None:
            raise internal("the signal that was just made cannot be read")
        return known

    async def list(self, request: SignalListRequest, call: CallContext) -> SignalList:
        """ListSignals: those that a gate has asked for, whether they have a value or not."""
        identifier = answers.execution_id(request, "workflow_execution_id")
        page = parse_page(request.limit, request.token, "ListSignals")
        where = parse_filters(request.filters, SIGNAL)
        order = parse_sort(request.sort_by if request.HasField("sort_by") else None, SIGNAL)
        found = await self._reads.signals(subjects.key_of(identifier), where, order, page)
        return SignalList(signals=found, token=page.next_token(len(found)))

    async def set(self, request: SignalSetRequest, call: CallContext) -> SignalSetResponse:
        """SetSignal: the gates that wait for it go on. A signal may be set again, and when all is over."""
        identifier = _signal_id(request)
        if not request.HasField("value"):
            raise missing("value")
        command = SetSignal(identifier.signal_id, request.value, call.principal)
        try:
            await self._shell.dispatch(subjects.key_of(identifier.execution_id), command, call.cause())
        except Refused as refused:
            if refused.reason is Refusal.WRONG_TYPE:
                given = prototext(literal_type_of(request.value))
                message = f"a value of type [{given}] does not fit signal [{identifier.signal_id}]"
                raise invalid(f"{message}, which is of type [{refused.detail}]") from None
            raise _unknown(identifier) from None
        return SignalSetResponse()


def _signal_id(request: SignalGetOrCreateRequest | SignalSetRequest) -> SignalIdentifier:
    """The request's signal id, with all parts. Raises InvalidArgument."""
    if not request.HasField("id"):
        raise missing("id")
    answers.execution_id(request.id, "execution_id")
    if not request.id.signal_id:
        raise missing("signal_id")
    if "\0" in request.id.signal_id:
        raise invalid_value("signal_id")
    return request.id


def _unknown(identifier: SignalIdentifier) -> RpcError:
    """INVALID_ARGUMENT, in the recorded words: also where the execution does not exist."""
    execution = identifier.execution_id
    parts = " ".join((execution.project, execution.domain, execution.name))
    shown = f"{{{{{parts}}} {identifier.signal_id}}}"
    return invalid(f"failed to validate that signal [{shown}] exists, err: [{Refusal.UNKNOWN_SIGNAL.value}]")
