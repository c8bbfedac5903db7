"""`flightlog replay`, `export` and `import`: executions as files, and what today's engine would make of them."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import typer

from flightlog_cli.admin import open_admin, open_service
from flightlog_cli.embedded.child import StackError
from flightlog_cli.named_executions import identify
from flightlog_protos.history.v1.export_pb2 import ExportHistoryRequest, ImportHistoryRequest, ImportHistoryResponse
from services.execution.history.files.format import BadFile, is_file, read
from services.execution.history.files.reading import HistoryFile
from services.execution.history.replay.encoding import from_bytes
from services.execution.history.replay.given import words
from services.execution.history.replay.steps import redecide

_HISTORY: Final = "flightlog.history.v1.HistoryService"
_UNPACKED: Final = 1 << 36


async def replay(data: Path, what: str, *, children: bool, as_json: bool) -> int:
    """Decide an execution, or a file, again; 1 when something would be decided otherwise today.

    Raises `StackError` when there is no such file or execution, or it is no history.
    """
    content = _content(what)
    if content is not None:
        told = _of_file(content) if is_file(content) else _of_golden(content, what)
    else:
        exported = [piece async for piece in _exported(data, what, children=children, without_data=False)]
        told = _of_file(b"".join(exported))
    counts = {"decisions": 0, "different": 0, "undecided": 0}
    async for document, lines in told:
        counts["decisions"] += 1
        counts["different"] += "differences" in document or "note" in document
        counts["undecided"] += "undecided" in document
        if as_json:
            typer.echo(json.dumps(document, ensure_ascii=False))
        for line in () if as_json else lines:
            typer.echo(line)
    if as_json:
        typer.echo(json.dumps(counts))
    else:
        typer.echo(_summary(**counts))
    return 1 if counts["different"] else 0


def _content(what: str) -> bytes | None:
    """A file's content; None when there is no such file."""
    path = Path(what).expanduser()
    return path.read_bytes() if path.is_file() else None


def _summary(decisions: int, different: int, undecided: int) -> str:
    decided = f"{decisions} decision{'' if decisions == 1 else 's'}"
    same = "the same" if decisions == 1 else "all the same"
    said = [f"{different} would be made otherwise today"] if different else []
    if undecided:
        said.append(f"{undecided} could not be made again")
    return f"{decided}: {', '.join(said) if said else same}."


async def _of_file(content: bytes) -> AsyncIterator[tuple[dict[str, Any], list[str]]]:
    try:
        file = HistoryFile(read(content, _UNPACKED))
    except BadFile as error:
        raise StackError(str(error)) from None
    several = len(file.pasts) > 1
    for key, past in file.pasts.items():
        name = "/".join(key)
        async for one in file.replaying().replay(past):
            lines = list(one.lines())
            yield {"execution": name, **one.document()}, [f"{name} {line}" if several else line for line in lines]


async def _of_golden(content: bytes, path: str) -> AsyncIterator[tuple[dict[str, Any], list[str]]]:
    """A history as this project's own tests have them."""
    try:
        history = from_bytes(content)
    except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
        raise StackError(f"{path} is no exported history: {error}") from None
    for one in redecide(history):
        command = words(one.step.command)
        document: dict[str, Any] = {
            "position": one.step.position,
            "command": command,
            "same": not one.differences,
        }
        lines: list[str] = []
        if one.differences:
            document["differences"] = [difference.document() for difference in one.differences]
            lines.append(f"#{one.step.position} {command}: would be decided otherwise today")
            lines += [f"  {line}" for line in one.difference().splitlines()]
        yield document, lines


async def export(
    data: Path, execution: str, target: Path | None, *, children: bool, without_data: bool, as_json: bool
) -> None:
    """Write an execution's history to a file. Raises `StackError` when there is none of that name."""
    pieces = [piece async for piece in _exported(data, execution, children=children, without_data=without_data)]
    size = sum(map(len, pieces))
    if target == Path("-"):
        sys.stdout.buffer.writelines(pieces)
        return
    path = target or Path(f"{execution.rpartition('/')[2]}.history.gz")
    # Whole or not at all, whatever was there before.
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
        partial.replace(path)
    except OSError as error:
        raise StackError(f"{path} cannot be written: {error}") from None
    typer.echo(json.dumps({"file": str(path), "bytes": size}) if as_json else f"{path}: {size} bytes")


async def import_(data: Path, file: Path, *, as_json: bool) -> None:
    """Put an exported history on the log. Raises `StackError` when it is refused."""
    content = _content(str(file))
    if content is None:
        raise StackError(f"There is no file {file}.")
    async with open_service(data, _HISTORY) as history:
        done: ImportHistoryResponse = await history.ImportHistory(ImportHistoryRequest(content=content))
    names = ["/".join((one.project, one.domain, one.name)) for one in done.ids]
    if as_json:
        typer.echo(json.dumps({"executions": names, "envelopes": done.envelopes}))
    elif done.envelopes:
        typer.echo(f"{', '.join(names)}: {done.envelopes} envelopes are on the log now. Nothing is run.")
    else:
        typer.echo(f"{', '.join(names)}: all of it was there already.")


async def _exported(data: Path, execution: str, *, children: bool, without_data: bool) -> AsyncIterator[bytes]:
    async with open_admin(data) as admin, open_service(data, _HISTORY) as history:
        identifier = await identify(admin, execution)
        request = ExportHistoryRequest(id=identifier, children=children, without_data=without_data)
        async for piece in history.ExportHistory(request):
            yield piece.content
