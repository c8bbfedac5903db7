"""`flightlog lineage`: where something comes from and what was made of it, as a tree, as JSON or as a picture."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import typer
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from google.protobuf.json_format import MessageToDict
from rich.console import Console

from flightlog_cli.access import Access, open_log
from flightlog_cli.admin import open_service
from flightlog_cli.commands.events import find
from flightlog_cli.embedded.child import StackError
from flightlog_cli.lineage.drawing import svg
from flightlog_cli.lineage.telling import trees
from flightlog_protos.catalog.v1.lineage_service_pb2 import ArtifactReference, GetLineageRequest, LineageGraph

_SERVICE = "flightlog.catalog.v1.LineageService"
_WIDE = 250
_SIDES = ("inputs", "outputs")


async def lineage(
    data: Path, artifact: str, *, backward: bool, forward: bool, depth: int, picture: Path | None, as_json: bool
) -> None:
    """Ask, and print or draw what is answered. Raises `StackError` for what is not known."""
    direction = GetLineageRequest.BOTH
    if backward != forward:
        direction = GetLineageRequest.BACKWARD if backward else GetLineageRequest.FORWARD
    request = GetLineageRequest(artifact=await _reference(data, artifact), direction=direction, depth=depth)
    async with open_service(data, _SERVICE) as service:
        graph: LineageGraph = await service.GetLineage(request)
    if picture is not None:
        await asyncio.to_thread(picture.write_text, svg(graph))
    if as_json:
        typer.echo(json.dumps(document(graph)))
    elif picture is not None:
        typer.echo(f"{picture}: {len(graph.artifacts)} artifacts, {len(graph.steps)} steps{_more(graph)}")
    else:
        # Lines that go into a file or another program are not cut.
        console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
        for tree in trees(graph):
            console.print(tree)
        if graph.truncated:
            console.print("There is more than is shown.", style="yellow")


def document(graph: LineageGraph) -> dict[str, Any]:
    """The graph for programs: fields as the service's messages have them, none left out."""
    return MessageToDict(graph, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def parsed(artifact: str) -> tuple[str, str, str, str]:
    """Execution, node, side and variable of `[project/domain/]execution[/node][.[inputs.|outputs.]variable]`.

    An execution's own values are behind a node without a name: `execution/.variable`.
    """
    parts = artifact.split("/")
    if len(parts) in (1, 3):
        return artifact, "", "", ""
    execution, last = "/".join(parts[:-1]), parts[-1]
    if len(parts) not in (2, 4):
        raise StackError(f"{artifact} is neither an address nor an execution with a node")
    node, _, variable = last.partition(".")
    side, _, rest = variable.partition(".")
    return (execution, node, side, rest) if side in _SIDES else (execution, node, "", variable)


async def _reference(data: Path, artifact: str) -> ArtifactReference:
    if "://" in artifact:
        return ArtifactReference(uri=artifact)
    execution, node, side, variable = parsed(artifact)
    async with open_log(Access.of(data)) as log:
        project, domain, name = (await find(log, execution)).parts
    identifier = WorkflowExecutionIdentifier(project=project, domain=domain, name=name)
    return ArtifactReference(
        node=NodeExecutionIdentifier(execution_id=identifier, node_id=node), side=side, variable=variable
    )


def _more(graph: LineageGraph) -> str:
    return "; there is more than is shown" if graph.truncated else ""
