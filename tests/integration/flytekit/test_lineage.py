"""`flightlog lineage` on runs of unmodified flytekit: what everything was made from, and what became of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.service import admin_pb2_grpc
from flytekit import StructuredDataset
from typer.testing import CliRunner

from flightlog_cli.main import app
from flightlog_protos.catalog.v1.lineage_service_pb2 import ArtifactReference, GetLineageRequest, LineageGraph
from flightlog_rpc import METHODS
from tests.integration.executions import ended

METHOD = METHODS["/flightlog.catalog.v1.LineageService/GetLineage"]


class Told(NamedTuple):
    """Runs of both workflows: the second `made` finds `measure` in the cache, `taken` takes the file of the first."""

    first: str
    second: str
    taken: str
    file: str

    def plain(self, text: str) -> str:
        for name, run in (("first", self.first), ("second", self.second), ("taken", self.taken)):
            text = text.replace(f"flytesnacks/development/{run}", name)
        return text


@pytest.fixture(scope="module")
def told(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any], stack: Any) -> Told:
    module = workflow_module("traced")
    made, taken = register(module.made), register(module.taken)

    def start(entity: Any, inputs: dict[str, Any]) -> Any:
        return remote.execute(entity, inputs=inputs)

    def end(execution: Any) -> str:
        return ended(remote, execution).id.name

    inputs = {"text": uuid4().hex, "numbers": [1, 2]}
    first = end(start(made, inputs))
    with grpc.insecure_channel(stack.endpoints["grpc"]) as channel:
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=identifier(first))
        outputs = admin_pb2_grpc.AdminServiceStub(channel).GetExecutionData(request).full_outputs
    file, frame = outputs.literals["o0"].scalar.blob.uri, outputs.literals["o2"].scalar.structured_dataset.uri
    second = start(made, inputs)
    third = start(taken, {"file": file, "frame": StructuredDataset(uri=frame)})
    return Told(first, end(second), end(third), file)


@pytest.fixture
def ask(stack: Any) -> Any:
    def call(artifact: ArtifactReference, direction: GetLineageRequest.Direction = GetLineageRequest.BOTH) -> Any:
        with grpc.insecure_channel(stack.endpoints["grpc"]) as channel:
            method = channel.unary_unary(
                METHOD.full_name,
                request_serializer=METHOD.request.SerializeToString,
                response_deserializer=METHOD.response.FromString,
            )
            return method(GetLineageRequest(artifact=artifact, direction=direction))

    return call


def identifier(name: str) -> WorkflowExecutionIdentifier:
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)


def value(run: str, node: str, variable: str) -> ArtifactReference:
    node_id = NodeExecutionIdentifier(execution_id=identifier(run), node_id=node)
    return ArtifactReference(node=node_id, variable=variable)


def lines(told: Told, graph: LineageGraph) -> set[str]:
    return {told.plain(f"{getattr(edge, 'from')} -> {edge.to} ({edge.variable})") for edge in graph.edges}


# The file that `taken` takes, from the beginning.
FILE = {
    "first.inputs.text -> first/n0-0-n0 (text)",
    "first/n0-0-n0 -> first/n0-0-n0.outputs.o0 (o0)",
    "first/n0-0-n0.outputs.o0 -> first/n3 (file)",
    "first.inputs.numbers -> first/n2-0-n0 (number <- [0])",
    "first.inputs.numbers -> first/n2-0-n1 (number <- [1])",
    "first/n2-0-n0 -> first/n2-0-n0.outputs.o0 (o0)",
    "first/n2-0-n1 -> first/n2-0-n1.outputs.o0 (o0)",
    "first/n2-0-n0.outputs.o0 -> first/n3 (numbers[0])",
    "first/n2-0-n1.outputs.o0 -> first/n3 (numbers[1])",
    "first/n3 -> first/n3.outputs.o0 (o0)",
}
FRAME = {
    "first.inputs.numbers -> first/n5 (numbers)",
    "first/n5 -> first/n5.outputs.o0 (o0)",
    "first/n5.outputs.o0 -> taken (frame)",
    "taken -> taken.inputs.frame (frame)",
    "taken.inputs.frame -> taken/n0 (frame)",
}
USE = {
    "first/n3.outputs.o0 -> taken (file)",
    "taken -> taken.inputs.file (file)",
    "taken.inputs.file -> taken/n0 (file)",
    "taken/n0 -> taken/n0.outputs.o0 (o0)",
}
CACHED = {
    "first.inputs.text -> first/n1 (text)",
    "first/n1.inputs.times -> first/n1 (times)",
    "first/n1 -> first/n1.outputs.o0 (o0)",
    "first/n1.outputs.o0 -> second/n1 (o0)",
    "second/n1 -> second/n1.outputs.o0 (o0)",
}


def test_file_is_followed_to_its_beginnings_and_to_its_uses(told: Told, ask: Any) -> None:
    backward = ask(value(told.taken, "", "o0"), GetLineageRequest.BACKWARD)
    assert lines(told, backward) == FILE | USE | FRAME
    assert lines(told, ask(ArtifactReference(uri=told.file))) == FILE | USE
    assert lines(told, ask(ArtifactReference(uri=told.file), GetLineageRequest.FORWARD)) == USE
    forward = lines(told, ask(value(told.first, "", "text"), GetLineageRequest.FORWARD))
    assert forward >= USE
    assert {line for line in FILE if line.startswith("first.inputs.text")} <= forward
    assert not any(line.startswith("first.inputs.numbers") for line in forward)
    entities = {told.plain(step.id): step.entity.name.rpartition(".")[2] for step in backward.steps}
    assert entities["first/n0-0-n0"] == "write"
    assert "map_double" in entities["first/n2-0-n1"]
    assert entities["taken"] == "taken"


def test_cached_result_was_made_by_the_run_that_ran(told: Told, ask: Any) -> None:
    backward = ask(value(told.second, "n1", "o0"), GetLineageRequest.BACKWARD)
    assert lines(told, backward) == CACHED
    assert {told.plain(step.id): step.how for step in backward.steps} == {"first/n1": "ran", "second/n1": "cached"}
    forward = ask(value(told.first, "n1", "o0"), GetLineageRequest.FORWARD)
    assert {"first/n1.outputs.o0 -> second/n1 (o0)", "second/n1 -> second/n1.outputs.o0 (o0)"} <= lines(told, forward)


def test_dynamic_task_made_what_its_nodes_take(told: Told, ask: Any) -> None:
    graph = ask(value(told.first, "", "o1"), GetLineageRequest.BACKWARD)
    nodes = {told.plain(step.id) for step in graph.steps}
    children = {node for node in nodes if node.startswith(("first/n4-0-dn", "first/f"))}
    assert nodes - children == {"first/n1", "first/n4"}
    assert len(children) == 2
    assert "first/n1.outputs.o0 -> first/n4 (number)" in lines(told, graph)


def test_commands_tell_and_draw(told: Told, stack: Any, tmp_path: Path) -> None:
    def flightlog(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["lineage", *arguments, "--data", str(stack.data)])
        assert result.exit_code == 0, result.output
        return result.stdout

    as_json = json.loads(flightlog(f"{told.taken}/.o0", "--backward", "--json"))
    assert {told.plain(step["id"]) for step in as_json["steps"]} == {
        "first/n0-0-n0",
        "first/n2-0-n0",
        "first/n2-0-n1",
        "first/n3",
        "first/n5",
        "taken",
        "taken/n0",
    }
    text = flightlog(told.file)
    assert "made by" in text
    assert "used by" in text
    assert f"execution {told.taken}" in text
    picture = tmp_path / "lineage.svg"
    assert "steps" in flightlog(told.first, "--svg", str(picture))
    drawn = "".join(ET.parse(picture).getroot().itertext())
    assert "traced.enlarge" in drawn
    assert told.taken in drawn
    unknown = CliRunner().invoke(app, ["lineage", "s3://nowhere/at/all", "--data", str(stack.data)])
    assert unknown.exit_code == 1


def test_bad_questions_are_refused(told: Told, ask: Any) -> None:
    both = value(told.first, "", "")
    both.uri = told.file
    side = value(told.first, "n0", "o0")
    side.side = "middle"
    for artifact in (ArtifactReference(), both, side):
        with pytest.raises(grpc.RpcError) as refused:
            ask(artifact)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # pyright: ignore
    for artifact in (value("nobody", "", ""), value(told.first, "n99", ""), value(told.first, "n0", "o99")):
        with pytest.raises(grpc.RpcError) as unknown:
            ask(artifact)
        assert unknown.value.code() == grpc.StatusCode.NOT_FOUND  # pyright: ignore
