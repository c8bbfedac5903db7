"""Every recorded call that the registry serves, made in the recorded order, answers as recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf.json_format import ParseDict

from flightlog_rpc import METHODS, OWNERS, SERVED

CALLS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "recordings" / "errors.json").read_text())
# The message holds what belongs to Flyte's own database.
CODE_ONLY = {("RegisterProject", "again")}
# Called once before, because the recording leaves the first one out.
TWICE = {("CreateLaunchPlan", "same again")}
# Other answers than recorded, by decision: docs/differences.md.
ELSEWHERE = {("CreateWorkflow", "duplicate node id")}


async def answer(call: Callable[..., Awaitable[Any]], full: str, request: dict[str, Any]) -> tuple[str, str]:
    try:
        await call(full.rpartition("/")[2], ParseDict(request, METHODS[full].request()))
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def plain(message: str) -> str:
    """Go prints one or two blanks between fields, at random on purpose."""
    return re.sub(r" +", " ", message).strip()


async def test_recorded_calls_answer_as_recorded(call: Callable[..., Awaitable[Any]]) -> None:
    different: list[str] = []
    for recorded in CALLS:
        full = f"/flyteidl.service.{recorded['method']}"
        key = (full.rpartition("/")[2], recorded["note"])
        if full not in SERVED or OWNERS[full] != "registry" or key in ELSEWHERE:
            continue
        if key in TWICE:
            assert await answer(call, full, recorded["request"]) == ("OK", "")
        code, message = await answer(call, full, recorded["request"])
        if code != recorded["code"] or (key not in CODE_ONLY and plain(message) != plain(recorded.get("message", ""))):
            different.append(f"{key}: {code} {message}\n    expected {recorded['code']} {recorded.get('message')}")
    assert not different, "\n".join(different)
