"""Every recorded call whose method is served here answers with the recorded code and message.

The calls are made in the recorded order, because earlier ones create what later ones need. A difference is either
listed in `docs/differences.md` and below, or a defect.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.service import admin_pb2, dataproxy_pb2, signal_pb2
from google.protobuf import symbol_database
from google.protobuf.json_format import ParseDict

from flightlog_cli.stack_process import StackProcess
from flightlog_rpc import SERVED

ERRORS = Path(__file__).parents[2] / "recordings" / "errors.json"
CALLS: list[dict[str, Any]] = json.loads(ERRORS.read_text())
_FILES = {"AdminService": admin_pb2, "DataProxyService": dataproxy_pb2, "SignalService": signal_pb2}

# Where only the code is the contract: the message holds what belongs to Flyte's own database or its language.
CODE_ONLY = {"same id, other content", "again", "same name again"}
# The recorded sequence leaves out the first of these calls; without it there is nothing to be "again".
TWICE = {("AdminService/CreateLaunchPlan", "same again"), ("AdminService/CreateExecution", "same name again")}


def service_and_method(call: dict[str, Any]) -> tuple[str, str]:
    service, method = call["method"].split("/")
    return service, method


def full_name(call: dict[str, Any]) -> str:
    service, method = service_and_method(call)
    return f"/flyteidl.service.{service}/{method}"


def invoke(channel: grpc.Channel, call: dict[str, Any]) -> tuple[str, str]:
    service, method = service_and_method(call)
    descriptor = _FILES[service].DESCRIPTOR.services_by_name[service].methods_by_name[method]
    database = symbol_database.Default()
    request = ParseDict(call["request"], database.GetSymbol(descriptor.input_type.full_name)())  # type: ignore[attr-defined]
    callable_ = channel.unary_unary(
        full_name(call), request_serializer=lambda message: message.SerializeToString(), response_deserializer=bytes
    )
    try:
        callable_(request, timeout=30)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def plain(message: str) -> str:
    """Go prints one or two blanks between fields, at random on purpose."""
    return re.sub(r" +", " ", message).strip()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str] | None]:
    """One answer for each recorded call, made in order on a stack of its own.

    The recorded tasks run a program `x`, in an image that nobody has: the runs waited for ever. Here `x` does.
    """
    programs = tmp_path_factory.mktemp("programs")
    (programs / "x").write_text("#!/bin/sh\nexec sleep 60\n")
    (programs / "x").chmod(0o755)
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    folder = tmp_path_factory.mktemp("recorded")
    with StackProcess(folder, environment=path) as stack, grpc.insecure_channel(stack.grpc) as channel:
        return [answer_of(channel, call) for call in CALLS]


def answer_of(channel: grpc.Channel, call: dict[str, Any]) -> tuple[str, str] | None:
    if full_name(call) not in SERVED:
        return None
    if (call["method"], call["note"]) in TWICE:
        assert invoke(channel, call)[0] == "OK"
    return invoke(channel, call)


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[f"{i}-{call['note']}" for i, call in enumerate(CALLS)])
def test_call_answers_as_recorded(number: int, answers: list[tuple[str, str] | None]) -> None:
    call, answer = CALLS[number], answers[number]
    if answer is None:
        pytest.skip(f"{call['method']} is not served yet")
    code, message = answer
    assert code == call["code"], message
    if call["note"] not in CODE_ONLY:
        assert plain(message) == plain(call.get("message", ""))
