"""`flightlog why`: what an execution waits for, or what made it fail."""

import json
from datetime import UTC, datetime
from pathlib import Path

import typer

from flightlog_cli.admin import open_admin, open_service
from flightlog_cli.named_executions import identify
from flightlog_cli.why import document, lines
from flightlog_protos.history.v1.explanation_pb2 import ExplainWaitingRequest, ExplainWaitingResponse

_HISTORY = "flightlog.history.v1.HistoryService"


async def why(data: Path, execution: str, *, as_json: bool) -> None:
    """Print what is behind an execution's phase. Raises `StackError` when there is none of that name, or several."""
    async with open_admin(data) as admin, open_service(data, _HISTORY) as history:
        request = ExplainWaitingRequest(id=await identify(admin, execution))
        found: ExplainWaitingResponse = await history.ExplainWaiting(request)
    if as_json:
        typer.echo(json.dumps(document(found.explanation), ensure_ascii=False))
        return
    for line in lines(found.explanation, datetime.now(UTC)):
        typer.echo(line)
