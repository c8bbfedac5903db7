"""`flightlog at`: an execution as it was at a moment."""

import json
import re
from pathlib import Path

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.admin import open_admin, open_service
from flightlog_cli.embedded.child import StackError
from flightlog_cli.named_executions import identify
from flightlog_cli.state_tree import lines
from flightlog_protos.history.v1.state_pb2 import GetStateAtRequest, GetStateAtResponse
from flightlog_rpc.moments import moment_of

_HISTORY = "flightlog.history.v1.HistoryService"
_ELAPSED = re.compile(r"\+([0-9]{1,9})(?:\.([0-9]{1,9}))?s?")
_POSITION = re.compile(r"[#@]([0-9]{1,18})")
_NANOSECONDS = 1_000_000_000


async def at(data: Path, execution: str, moment: str, *, as_json: bool) -> None:
    """Print an execution as it was. Raises `StackError` when it was not there then, or the moment is none."""
    request = request_of(moment)
    async with open_admin(data) as admin, open_service(data, _HISTORY) as history:
        request.id.CopyFrom(await identify(admin, execution))
        state: GetStateAtResponse = await history.GetStateAt(request)
    if as_json:
        typer.echo(json.dumps(MessageToDict(state, preserving_proto_field_name=True), ensure_ascii=False))
        return
    for line in lines(state, _moment(request, state)):
        typer.echo(line)


def request_of(moment: str) -> GetStateAtRequest:
    """The request for a moment as it is written on the command line. Raises `StackError` when it is none."""
    elapsed, position = _ELAPSED.fullmatch(moment), _POSITION.fullmatch(moment)
    if elapsed is not None:
        request = GetStateAtRequest()
        fraction = elapsed[2] or ""
        # `flightlog events` shows rounded seconds: what is shown with this number is meant to be in.
        half = 5 * 10 ** (8 - len(fraction)) if len(fraction) <= 3 else 0
        request.elapsed.FromNanoseconds(int(elapsed[1]) * _NANOSECONDS + int(fraction.ljust(9, "0")) + half)
        return request
    if position is not None:
        return GetStateAtRequest(position=int(position[1]))
    found = moment_of(moment)
    if found is None:
        raise StackError(
            f"{moment!r} is no moment: give a time such as 2026-01-31T12:00:00Z, a sequence such as 42, seconds since "
            "its creation such as +1.5, or the position of an envelope such as '#3'."
        )
    if found.time is not None:
        return GetStateAtRequest(time=found.time)
    return GetStateAtRequest(sequence=found.sequence)


def _moment(request: GetStateAtRequest, state: GetStateAtResponse) -> Timestamp:
    """What was asked about, as a time."""
    match request.WhichOneof("moment"):
        case "time":
            return request.time
        case "elapsed":
            moment = Timestamp()
            begun = state.execution.closure.created_at.ToNanoseconds()
            moment.FromNanoseconds(max(begun + request.elapsed.ToNanoseconds(), state.recorded_at.ToNanoseconds()))
            return moment
        case _:
            return state.recorded_at
