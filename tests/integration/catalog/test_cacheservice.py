"""`flyteidl.cacheservice.CacheService` on a running stack: each method, and each of its refusals."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flyteidl.cacheservice import cacheservice_pb2 as pb
from flyteidl.core.identifier_pb2 import TASK, Identifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar
from flyteidl.datacatalog import datacatalog_pb2 as datacatalog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.stack_process import StackProcess
from tests.integration.catalog.conftest import refusal

INVALID = "INVALID_ARGUMENT"


@pytest.fixture
def key() -> str:
    return f"a key / of {uuid4().hex}"


def literals(number: int) -> LiteralMap:
    return LiteralMap(literals={"o0": Literal(scalar=Scalar(primitive=Primitive(integer=number)))})


def put(cache: Any, key: str, number: int, *, overwrite: bool = False, **metadata: Any) -> None:
    output = pb.CachedOutput(output_literals=literals(number), metadata=pb.Metadata(**metadata))
    cache.Put(pb.PutCacheRequest(key=key, output=output, overwrite=overwrite))


def get(cache: Any, key: str) -> pb.CachedOutput:
    return cache.Get(pb.GetCacheRequest(key=key)).output


def test_what_was_put_is_found_until_it_is_deleted(cache: Any, key: str) -> None:
    absent = ("NOT_FOUND", f'cache entry "{key}" not found')
    assert refusal(cache.Get, pb.GetCacheRequest(key=key)) == absent
    assert refusal(cache.Delete, pb.DeleteCacheRequest(key=key)) == absent
    source = Identifier(resource_type=TASK, project="p", domain="d", name="t", version="v")
    key_map = pb.KeyMapMetadata(values={"a": "b"})
    put(cache, key, 1, source_identifier=source, key_map=key_map)
    found = get(cache, key)
    assert found.output_literals == literals(1)
    assert found.metadata.source_identifier == source
    assert found.metadata.key_map == key_map
    assert found.metadata.created_at == found.metadata.last_updated_at
    cache.Delete(pb.DeleteCacheRequest(key=key))
    assert refusal(cache.Get, pb.GetCacheRequest(key=key)) == absent
    put(cache, key, 2)
    assert get(cache, key).output_literals == literals(2)


def test_the_first_one_stays_unless_it_is_overwritten(cache: Any, key: str) -> None:
    put(cache, key, 1)
    code, message = refusal(lambda _: put(cache, key, 2), None)
    assert (code, message) == ("ALREADY_EXISTS", f'cache entry "{key}" already exists')
    before = get(cache, key)
    put(cache, key, 3, overwrite=True)
    after = get(cache, key)
    assert (before.output_literals, after.output_literals) == (literals(1), literals(3))
    assert after.metadata.created_at == before.metadata.created_at
    assert after.metadata.last_updated_at.ToNanoseconds() > before.metadata.last_updated_at.ToNanoseconds()
    put(cache, key, 4, overwrite=True, created_at=Timestamp(seconds=7))
    assert get(cache, key).metadata.created_at == Timestamp(seconds=7)


def test_data_may_lie_where_a_client_has_put_them(cache: Any, key: str) -> None:
    output = pb.CachedOutput(output_uri="s3://elsewhere/outputs.pb")
    cache.Put(pb.PutCacheRequest(key=key, output=output))
    assert get(cache, key).output_uri == "s3://elsewhere/outputs.pb"


def test_what_nodes_will_read_must_be_there(cache: Any, stack: StackProcess) -> None:
    key = f"tests/development/flyte_task-t/1-aaaaaaaa-bbbbbbbb/flyte_cached-{uuid4().hex}"
    put(cache, key, 1)
    directory = Path(stack.endpoints["object_directory"])
    (folder,) = (found.parent for found in directory.glob("*/catalog"))
    (folder / "text").write_bytes(b"no literals")
    (folder / "outputs.pb").write_bytes(literals(2).SerializeToString())
    missing, no_literals = "names no object of this store", "names no literals: "
    for name, reason in (
        ("elsewhere/outputs.pb", missing),
        (f"{folder.name}/not/../outputs.pb", missing),
        (f"{folder.name}/not/there.pb", missing),
        (f"{folder.name}/{'x' * 300}", missing),
        (f"{folder.name}/text", no_literals),
    ):
        output = pb.CachedOutput(output_uri=f"s3://{name}")
        code, message = refusal(cache.Put, pb.PutCacheRequest(key=key, output=output, overwrite=True))
        assert (code, message.startswith(f"output_uri {reason}")) == (INVALID, True)
    assert get(cache, key).output_literals == literals(1)
    output = pb.CachedOutput(output_uri=f"s3://{folder.name}/outputs.pb")
    cache.Put(pb.PutCacheRequest(key=key, output=output, overwrite=True))
    assert get(cache, key).output_uri == output.output_uri


def test_what_is_put_is_whole(cache: Any, key: str) -> None:
    assert refusal(cache.Put, pb.PutCacheRequest(key=key)) == (INVALID, "output is required")
    for uri in ("", "nowhere", "http://host/path"):
        request = pb.PutCacheRequest(key=key, output=pb.CachedOutput(output_uri=uri))
        assert refusal(cache.Put, request) == (INVALID, "invalid value for output_uri")
    for call, request in (
        (cache.Get, pb.GetCacheRequest()),
        (cache.Put, pb.PutCacheRequest(output=pb.CachedOutput(output_literals=literals(1)))),
        (cache.Delete, pb.DeleteCacheRequest()),
        (cache.GetOrExtendReservation, pb.GetOrExtendReservationRequest(owner_id="o")),
        (cache.ReleaseReservation, pb.ReleaseReservationRequest(owner_id="o")),
    ):
        assert refusal(call, request) == (INVALID, "key is required")


def reserve(cache: Any, key: str, owner: str, interval: timedelta | None = None) -> pb.Reservation:
    request = pb.GetOrExtendReservationRequest(key=key, owner_id=owner)
    if interval is not None:
        heartbeat = Duration()
        heartbeat.FromTimedelta(interval)
        request.heartbeat_interval.CopyFrom(heartbeat)
    return cache.GetOrExtendReservation(request).reservation


def release(cache: Any, key: str, owner: str) -> None:
    cache.ReleaseReservation(pb.ReleaseReservationRequest(key=key, owner_id=owner))


def test_one_client_at_a_time_holds_a_reservation(cache: Any, key: str) -> None:
    first = reserve(cache, key, "first", timedelta(hours=1))
    assert (first.key, first.owner_id) == (key, "first")
    assert first.heartbeat_interval.ToTimedelta() == timedelta(seconds=10)
    other = reserve(cache, key, "second", timedelta(seconds=1))
    assert (other.owner_id, other.expires_at) == ("first", first.expires_at)
    assert other.heartbeat_interval.ToTimedelta() == timedelta(seconds=1)
    extended = reserve(cache, key, "first", timedelta(seconds=5))
    assert extended.owner_id == "first"
    assert extended.expires_at != first.expires_at
    release(cache, key, "second")
    assert reserve(cache, key, "second").owner_id == "first"
    release(cache, key, "first")
    release(cache, key, "first")
    assert reserve(cache, key, "second", timedelta(0)).owner_id == "second"
    for call, request in (
        (cache.GetOrExtendReservation, pb.GetOrExtendReservationRequest(key=key)),
        (cache.ReleaseReservation, pb.ReleaseReservationRequest(key=key)),
    ):
        assert refusal(call, request) == (INVALID, "missing ownerID")


def test_a_reservation_lasts_three_heartbeats(cache: Any, key: str) -> None:
    before = reserve(cache, key, "first", timedelta(milliseconds=50))
    while (held := reserve(cache, key, "second", timedelta(seconds=7))).owner_id == "first":
        assert held.expires_at == before.expires_at
    lasting = held.expires_at.ToNanoseconds() - before.expires_at.ToNanoseconds()
    assert held.owner_id == "second"
    assert lasting >= timedelta(seconds=21) // timedelta(microseconds=1) * 1000


def test_datacatalog_and_cacheservice_have_the_same_entries(
    cache: Any, catalog: Any, dataset: datacatalog.DatasetID
) -> None:
    tag = f"flyte_cached-{uuid4().hex}"
    key = "/".join((dataset.project, dataset.domain, dataset.name, dataset.version, tag))
    put(cache, key, 5, key_map=pb.KeyMapMetadata(values={"by": "me"}))
    found = catalog.GetArtifact(datacatalog.GetArtifactRequest(dataset=dataset, tag_name=tag)).artifact
    assert [(one.name, one.value.scalar.primitive.integer) for one in found.data] == [("o0", 5)]
    assert dict(found.metadata.key_map) == {"by": "me"}
    data = [datacatalog.ArtifactData(name="o0", value=literals(6).literals["o0"])]
    catalog.UpdateArtifact(datacatalog.UpdateArtifactRequest(dataset=dataset, tag_name=tag, data=data))
    assert get(cache, key).output_literals == literals(6)
    reservation = datacatalog.ReservationID(dataset_id=dataset, tag_name=tag)
    request = datacatalog.GetOrExtendReservationRequest(reservation_id=reservation, owner_id="first")
    first = catalog.GetOrExtendReservation(request).reservation
    assert (first.reservation_id, first.owner_id) == (reservation, "first")
    assert first.heartbeat_interval.ToTimedelta() == timedelta(seconds=10)
    assert reserve(cache, key, "second").owner_id == "first"
    catalog.ReleaseReservation(datacatalog.ReleaseReservationRequest(reservation_id=reservation, owner_id="second"))
    assert reserve(cache, key, "second").owner_id == "first"
    catalog.ReleaseReservation(datacatalog.ReleaseReservationRequest(reservation_id=reservation, owner_id="first"))
    assert reserve(cache, key, "second").owner_id == "second"
    cache.Delete(pb.DeleteCacheRequest(key=key))
    assert refusal(catalog.GetArtifact, datacatalog.GetArtifactRequest(dataset=dataset, tag_name=tag))[0] == "NOT_FOUND"
    # The artifact is there, but nothing is tagged with it any more.
    again = catalog.GetArtifact(datacatalog.GetArtifactRequest(dataset=dataset, artifact_id=found.id)).artifact
    assert not again.tags
    catalog.AddTag(datacatalog.AddTagRequest(tag=datacatalog.Tag(dataset=dataset, artifact_id=found.id, name=tag)))
    assert get(cache, key).output_literals == literals(6)


def test_reservations_name_what_they_are_of(catalog: Any, dataset: datacatalog.DatasetID) -> None:
    for call, kind in (
        (catalog.GetOrExtendReservation, datacatalog.GetOrExtendReservationRequest),
        (catalog.ReleaseReservation, datacatalog.ReleaseReservationRequest),
    ):
        untagged = datacatalog.ReservationID(dataset_id=dataset)
        assert refusal(call, kind(reservation_id=untagged, owner_id="o")) == (INVALID, "missing tagName")
        whole = datacatalog.ReservationID(dataset_id=dataset, tag_name="t")
        assert refusal(call, kind(reservation_id=whole)) == (INVALID, "missing ownerID")


def test_the_tables_can_be_made_from_the_log_again(stack: StackProcess, cache: Any, key: str) -> None:
    put(cache, key, 1)
    reserve(cache, key, "somebody")
    (result,) = stack.cli_json("rebuild", "catalog")
    assert result["equal"], result
    assert result["skipped"] == []
    assert all(table["live_rows"] is not None for table in result["tables"])
    assert get(cache, key).output_literals == literals(1)
