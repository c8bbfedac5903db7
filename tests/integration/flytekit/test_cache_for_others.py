"""One cache for nodes and for clients of DataCatalog: what one has made, the other finds; each waits for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.core.identifier_pb2 import TASK, Identifier
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import SimpleType
from flyteidl.datacatalog import datacatalog_pb2 as pb
from flyteidl.datacatalog import datacatalog_pb2_grpc
from flyteidl.service import admin_pb2_grpc
from google.protobuf.duration_pb2 import Duration

from flightlog_types import cache_keys
from tests.integration.flytekit.test_cached_runs import HIT, POPULATED, Runs, wait_for


@pytest.fixture(scope="module")
def channel(stack: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def runs(
    channel: grpc.Channel, remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]
) -> Runs:
    return Runs(remote, workflow_module("cached"), register, admin_pb2_grpc.AdminServiceStub(channel))


@pytest.fixture(scope="module")
def catalog(channel: grpc.Channel) -> Any:
    return datacatalog_pb2_grpc.DataCatalogStub(channel)


@pytest.fixture
def key() -> str:
    return uuid4().hex


def entry(task: str, key: str) -> tuple[pb.DatasetID, str]:
    """Dataset and tag of the result of a task of `cached.py`."""
    interface = TypedInterface()
    interface.inputs.variables["key"].type.simple = SimpleType.STRING
    interface.outputs.variables["o0"].type.simple = SimpleType.INTEGER
    identifier = Identifier(resource_type=TASK, project="flytesnacks", domain="development", name=f"cached.{task}")
    inputs = LiteralMap()
    inputs.literals["key"].scalar.primitive.string_value = key
    dataset = cache_keys.dataset(identifier, interface, "1")
    name = pb.DatasetID(project=dataset.project, domain=dataset.domain, name=dataset.name, version=dataset.version)
    return name, cache_keys.tag(inputs)


def drawn(artifact: pb.Artifact) -> int:
    (data,) = artifact.data
    assert data.name == "o0"
    return data.value.scalar.primitive.integer


def test_a_result_of_a_task_is_an_artifact(runs: Runs, catalog: Any, key: str) -> None:
    run = runs.run("drawing", key=key)
    dataset, tag = entry("draw", key)
    found = catalog.GetArtifact(pb.GetArtifactRequest(dataset=dataset, tag_name=tag)).artifact
    assert drawn(found) == runs.outputs(run).literals["o0"].scalar.primitive.integer
    assert dict(found.metadata.key_map) == {
        "exec-project": "flytesnacks",
        "exec-domain": "development",
        "execution-name": run,
        "exec-node": "n0",
        "exec-attempt": "0",
    }
    seen = runs.nodes(run)["n0"].closure.task_node_metadata.catalog_key.artifact_tag
    assert (seen.artifact_id, seen.name) == (found.id, tag)
    assert [one.name for one in found.tags] == [tag]
    assert catalog.GetArtifact(pb.GetArtifactRequest(artifact_id=found.id)).artifact == found
    made = catalog.GetDataset(pb.GetDatasetRequest(dataset=dataset)).dataset
    assert made.metadata.key_map["task-version"]
    by_tag = pb.SinglePropertyFilter(tag_filter=pb.TagPropertyFilter(tag_name=tag))
    listing = pb.ListArtifactsRequest(dataset=dataset, filter=pb.FilterExpression(filters=[by_tag]))
    assert list(catalog.ListArtifacts(listing).artifacts) == [found]
    by_name = pb.SinglePropertyFilter(dataset_filter=pb.DatasetPropertyFilter(name=dataset.name))
    assert made in catalog.ListDatasets(pb.ListDatasetsRequest(filter=pb.FilterExpression(filters=[by_name]))).datasets
    with pytest.raises(grpc.RpcError) as raised:
        catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset)))
    assert raised.value.code() == grpc.StatusCode.ALREADY_EXISTS


def test_an_artifact_that_a_client_tags_is_a_hit(runs: Runs, catalog: Any, key: str) -> None:
    runs.run("drawing", key=uuid4().hex)  # makes the dataset
    dataset, tag = entry("draw", key)
    data = pb.ArtifactData(name="o0")
    data.value.scalar.primitive.integer = 42
    metadata = pb.Metadata(key_map={"execution-name": "elsewhere", "exec-node": "n7", "exec-attempt": "2"})
    artifact = pb.Artifact(id=uuid4().hex, dataset=dataset, data=[data], metadata=metadata)
    catalog.CreateArtifact(pb.CreateArtifactRequest(artifact=artifact))
    catalog.AddTag(pb.AddTagRequest(tag=pb.Tag(name=tag, artifact_id=artifact.id, dataset=dataset)))
    run = runs.run("drawing", key=key)
    assert runs.status(run) == HIT
    assert runs.outputs(run).literals["o0"].scalar.primitive.integer == 42
    seen = runs.nodes(run)["n0"].closure.task_node_metadata.catalog_key
    assert seen.artifact_tag.artifact_id == artifact.id
    source = seen.source_task_execution
    assert (source.task_id.name, source.retry_attempt) == ("cached.draw", 2)
    assert source.node_execution_id.node_id == "n7"
    assert source.node_execution_id.execution_id.name == "elsewhere"
    data.value.scalar.primitive.integer = 43
    catalog.UpdateArtifact(pb.UpdateArtifactRequest(dataset=dataset, tag_name=tag, data=[data]))
    assert runs.outputs(runs.run("drawing", key=key)).literals["o0"].scalar.primitive.integer == 43


def test_a_node_waits_for_a_client_that_holds_its_reservation(runs: Runs, catalog: Any, stack: Any, key: str) -> None:
    dataset, tag = entry("draw_alone", key)
    heartbeat = Duration()
    heartbeat.FromTimedelta(timedelta(seconds=1))
    reservation = pb.GetOrExtendReservationRequest(
        reservation_id=pb.ReservationID(dataset_id=dataset, tag_name=tag), owner_id="me", heartbeat_interval=heartbeat
    )
    assert catalog.GetOrExtendReservation(reservation).reservation.owner_id == "me"
    run = runs.start("drawing_alone", key=key)
    wait_for(lambda: "n0" in runs.nodes(run))
    held = catalog.GetOrExtendReservation(reservation).reservation
    assert held.owner_id == "me"
    assert not runs.nodes(run)["n0"].closure.HasField("started_at")
    # Nothing more is heard of the client; nor of the catalog, for a while.
    stack.wait_for_part("catalog", after=stack.kill("catalog"))
    assert runs.status(runs.end(run)) == POPULATED
    started = runs.nodes(run)["n0"].closure.started_at
    assert started.ToNanoseconds() >= held.expires_at.ToNanoseconds()
