"""`datacatalog.DataCatalog` on a running stack: each method, and each of its refusals (engine-semantics §4.7)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from flyteidl.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl.datacatalog import datacatalog_pb2 as pb

from flightlog_types import prototext
from tests.integration.catalog.conftest import refusal

MISSING_PARTS = [
    (None, "missing dataset"),
    (pb.DatasetID(), "missing project"),
    (pb.DatasetID(project="p"), "missing domain"),
    (pb.DatasetID(project="p", domain="d"), "missing name"),
    (pb.DatasetID(project="p", domain="d", name="n"), "missing version"),
]
INVALID = "INVALID_ARGUMENT"


def literal(number: int) -> Literal:
    return Literal(scalar=Scalar(primitive=Primitive(integer=number)))


def data(**numbers: int) -> list[pb.ArtifactData]:
    return [pb.ArtifactData(name=name, value=literal(number)) for name, number in numbers.items()]


def numbers(artifact: pb.Artifact) -> dict[str, int]:
    return {one.name: one.value.scalar.primitive.integer for one in artifact.data}


def missing(kind: str, dataset: pb.DatasetID, artifact_id: str = "") -> tuple[str, str]:
    shown = prototext(pb.Artifact(id=artifact_id, dataset=dataset) if artifact_id else dataset)
    return "NOT_FOUND", f"missing entity of type {kind} with identifier {shown}"


@pytest.fixture
def made(catalog: Any, dataset: pb.DatasetID) -> pb.DatasetID:
    """A dataset without artifacts."""
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset)))
    return dataset


def create(catalog: Any, dataset: pb.DatasetID, **numbers: int) -> str:
    """Creates an artifact; returns its id."""
    artifact = pb.Artifact(id=uuid4().hex, dataset=dataset, data=data(**(numbers or {"o0": 1})))
    catalog.CreateArtifact(pb.CreateArtifactRequest(artifact=artifact))
    return artifact.id


def tag(catalog: Any, dataset: pb.DatasetID, artifact_id: str, name: str) -> None:
    catalog.AddTag(pb.AddTagRequest(tag=pb.Tag(name=name, artifact_id=artifact_id, dataset=dataset)))


def by_tag(catalog: Any, dataset: pb.DatasetID, name: str) -> pb.Artifact:
    return catalog.GetArtifact(pb.GetArtifactRequest(dataset=dataset, tag_name=name)).artifact


def by_id(catalog: Any, dataset: pb.DatasetID, artifact_id: str) -> pb.Artifact:
    return catalog.GetArtifact(pb.GetArtifactRequest(dataset=dataset, artifact_id=artifact_id)).artifact


# --- datasets


def test_a_dataset_is_there_once_it_was_created(catalog: Any, dataset: pb.DatasetID) -> None:
    request = pb.GetDatasetRequest(dataset=dataset)
    assert refusal(catalog.GetDataset, request) == missing("Dataset", dataset)
    metadata = pb.Metadata(key_map={"task-version": "v1"})
    given = pb.Dataset(id=dataset, metadata=metadata, partitionKeys=["region", "day"])
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=given))
    found = catalog.GetDataset(request).dataset
    assert UUID(found.id.UUID)
    assert (found.metadata, list(found.partitionKeys)) == (metadata, ["region", "day"])
    assert catalog.GetDataset(pb.GetDatasetRequest(dataset=found.id)).dataset == found
    code, message = refusal(catalog.CreateDataset, pb.CreateDatasetRequest(dataset=given))
    assert code == "ALREADY_EXISTS"
    assert message.startswith("value with matching already exists (")


def test_a_uuid_belongs_to_one_dataset(catalog: Any, dataset: pb.DatasetID) -> None:
    dataset.UUID = str(uuid4())
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset)))
    assert catalog.GetDataset(pb.GetDatasetRequest(dataset=dataset)).dataset.id == dataset
    other = pb.DatasetID()
    other.CopyFrom(dataset)
    other.version = "2"
    assert refusal(catalog.CreateDataset, pb.CreateDatasetRequest(dataset=pb.Dataset(id=other)))[0] == "ALREADY_EXISTS"
    dataset.UUID = str(uuid4())
    assert refusal(catalog.GetDataset, pb.GetDatasetRequest(dataset=dataset))[0] == "NOT_FOUND"
    dataset.UUID = "x"
    request = pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset))
    assert refusal(catalog.CreateDataset, request) == (INVALID, "invalid value for UUID, value:[x]")


@pytest.mark.parametrize(("dataset_id", "message"), MISSING_PARTS)
def test_a_dataset_is_named_in_full(catalog: Any, dataset_id: pb.DatasetID | None, message: str) -> None:
    artifact = pb.Artifact(id="a", dataset=dataset_id, data=data(o0=1))
    reservation = pb.ReservationID(dataset_id=dataset_id, tag_name="t")
    for call, request in (
        (catalog.CreateDataset, pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset_id))),
        (catalog.GetDataset, pb.GetDatasetRequest(dataset=dataset_id)),
        (catalog.CreateArtifact, pb.CreateArtifactRequest(artifact=artifact)),
        (catalog.GetArtifact, pb.GetArtifactRequest(dataset=dataset_id, tag_name="t")),
        (catalog.UpdateArtifact, pb.UpdateArtifactRequest(dataset=dataset_id, tag_name="t", data=data(o0=1))),
        (catalog.ListArtifacts, pb.ListArtifactsRequest(dataset=dataset_id)),
        (catalog.AddTag, pb.AddTagRequest(tag=pb.Tag(name="t", artifact_id="a", dataset=dataset_id))),
        (catalog.GetOrExtendReservation, pb.GetOrExtendReservationRequest(reservation_id=reservation, owner_id="o")),
        (catalog.ReleaseReservation, pb.ReleaseReservationRequest(reservation_id=reservation, owner_id="o")),
    ):
        assert refusal(call, request) == (INVALID, message), request


def test_partition_keys_are_different_ones_and_all_faults_are_told(catalog: Any) -> None:
    given = pb.Dataset(id=pb.DatasetID(project="p"), partitionKeys=["a", "b", "a"])
    assert refusal(catalog.CreateDataset, pb.CreateDatasetRequest(dataset=given)) == (
        INVALID,
        "missing domain, invalid value for partitionKey, value:[Keys are not unique, occurrence count: map[a:2 b:1]]",
    )


def test_datasets_are_listed_by_what_they_are_named(catalog: Any, made: pb.DatasetID) -> None:
    for version in ("2", "3"):
        made.version = version
        catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=made)))

    def listed(*properties: pb.DatasetPropertyFilter, **options: Any) -> tuple[list[str], str]:
        filters = [pb.SinglePropertyFilter(dataset_filter=one) for one in properties]
        request = pb.ListDatasetsRequest(
            filter=pb.FilterExpression(filters=filters), pagination=pb.PaginationOptions(**options) if options else None
        )
        answer = catalog.ListDatasets(request)
        return [one.id.version for one in answer.datasets], answer.next_token

    name = pb.DatasetPropertyFilter(name=made.name)
    assert listed(name) == (["3", "2", "1"], "3")
    assert listed(name, pb.DatasetPropertyFilter(version="2")) == (["2"], "1")
    assert listed(name, pb.DatasetPropertyFilter(project="other")) == ([], "0")
    assert listed(name, pb.DatasetPropertyFilter(project="tests"), pb.DatasetPropertyFilter(domain="development"))[0]
    ascending = pb.PaginationOptions.ASCENDING
    assert listed(name, limit=2, sortOrder=ascending) == (["1", "2"], "2")
    assert listed(name, limit=2, token="2", sortOrder=ascending) == (["3"], "3")
    assert listed(name, limit=2, token="3", sortOrder=ascending) == ([], "3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": "x"}, "Invalid token value: x"),
        ({"token": "-1"}, "Invalid token value: -1"),
        ({"token": "4294967296"}, "Invalid token value: 4294967296"),
        ({"sortKey": 7}, "Invalid sort key 7"),
        ({"sortOrder": 7}, "Invalid sort order 7"),
    ],
)
def test_a_page_is_asked_for_properly(catalog: Any, made: pb.DatasetID, options: dict[str, Any], message: str) -> None:
    page = pb.PaginationOptions(limit=1, **options)
    assert refusal(catalog.ListDatasets, pb.ListDatasetsRequest(pagination=page)) == (INVALID, message)
    request = pb.ListArtifactsRequest(dataset=made, pagination=page)
    assert refusal(catalog.ListArtifacts, request) == (INVALID, message)


TAGGED = pb.SinglePropertyFilter(tag_filter=pb.TagPropertyFilter(tag_name="t"))
PARTITIONED = pb.SinglePropertyFilter(
    partition_filter=pb.PartitionPropertyFilter(key_val=pb.KeyValuePair(key="k", value="v"))
)
NAMED = pb.SinglePropertyFilter(artifact_filter=pb.ArtifactPropertyFilter(artifact_id="a"))
IN_PROJECT = pb.SinglePropertyFilter(dataset_filter=pb.DatasetPropertyFilter(project="p"))


def test_lists_are_filtered_by_what_they_have(catalog: Any, made: pb.DatasetID) -> None:
    for wrong, kind in ((TAGGED, "Tag"), (PARTITIONED, "Partition"), (NAMED, "Artifact")):
        request = pb.ListDatasetsRequest(filter=pb.FilterExpression(filters=[wrong]))
        assert refusal(catalog.ListDatasets, request) == (INVALID, f"Dataset cannot be filtered by {kind} properties")

    def refused(one: pb.SinglePropertyFilter) -> str:
        request = pb.ListArtifactsRequest(dataset=made, filter=pb.FilterExpression(filters=[one]))
        code, message = refusal(catalog.ListArtifacts, request)
        assert code == INVALID
        return message

    pair = pb.KeyValuePair
    assert refused(IN_PROJECT) == "Artifact cannot be filtered by Dataset properties"
    assert refused(pb.SinglePropertyFilter()) == "no such entity "
    assert refused(pb.SinglePropertyFilter(tag_filter=pb.TagPropertyFilter(tag_name=""))) == "missing TagName"
    for given, message in ((pair(value="v"), "missing PartitionKey"), (pair(key="k"), "missing PartitionValue")):
        by_partition = pb.PartitionPropertyFilter(key_val=given)
        assert refused(pb.SinglePropertyFilter(partition_filter=by_partition)) == message
    for name in ("project", "domain", "name", "version"):
        empty = pb.SinglePropertyFilter(dataset_filter=pb.DatasetPropertyFilter(**{name: ""}))
        request = pb.ListDatasetsRequest(filter=pb.FilterExpression(filters=[empty]))
        assert refusal(catalog.ListDatasets, request) == (INVALID, f"missing {name}")


# --- artifacts


def test_an_artifact_is_there_with_its_data_once_it_was_created(catalog: Any, made: pb.DatasetID) -> None:
    artifact = pb.Artifact(
        id=uuid4().hex, dataset=made, data=data(b=2, a=1), metadata=pb.Metadata(key_map={"who": "me"})
    )
    assert refusal(catalog.GetArtifact, pb.GetArtifactRequest(dataset=made, artifact_id=artifact.id)) == missing(
        "Artifact", made, artifact.id
    )
    catalog.CreateArtifact(pb.CreateArtifactRequest(artifact=artifact))
    found = by_id(catalog, made, artifact.id)
    assert numbers(found) == {"a": 1, "b": 2}
    assert found.metadata == artifact.metadata
    assert found.created_at.seconds > 0
    assert not found.tags
    # An id is enough: it is unique.
    assert catalog.GetArtifact(pb.GetArtifactRequest(artifact_id=artifact.id)).artifact == found
    code, message = refusal(catalog.CreateArtifact, pb.CreateArtifactRequest(artifact=artifact))
    assert code == "ALREADY_EXISTS"
    assert message.startswith("value with matching already exists (")


def test_an_artifact_needs_a_dataset_and_data(catalog: Any, dataset: pb.DatasetID) -> None:
    def refused(artifact: pb.Artifact | None) -> tuple[str, str]:
        return refusal(catalog.CreateArtifact, pb.CreateArtifactRequest(artifact=artifact))

    assert refused(None) == (INVALID, "missing artifact")
    assert refused(pb.Artifact(dataset=dataset, data=data(o0=1))) == (INVALID, "missing artifactID")
    assert refused(pb.Artifact(dataset=dataset, id="a")) == (INVALID, "missing artifactData")
    whole = pb.Artifact(dataset=dataset, id="a", data=data(o0=1))
    assert refused(whole) == missing("Dataset", dataset)
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset)))
    whole.data.extend(data(o0=2))
    assert refused(whole)[0] == "ALREADY_EXISTS"


def test_an_artifact_has_a_value_for_each_partition_key(catalog: Any, dataset: pb.DatasetID) -> None:
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset, partitionKeys=["day", "region"])))

    def create(**partitions: str) -> None:
        given = [pb.Partition(key=key.strip("_"), value=value) for key, value in partitions.items()]
        artifact = pb.Artifact(id=uuid4().hex, dataset=dataset, data=data(o0=1), partitions=given)
        catalog.CreateArtifact(pb.CreateArtifactRequest(artifact=artifact))

    def refused(**partitions: str) -> str:
        code, message = refusal(lambda _: create(**partitions), None)
        assert code == INVALID
        return message

    assert refused(day="1") == (
        'Partition key mismatch, dataset keys: [day region], artifact Partitions: [key:"day" value:"1"]'
    )
    assert refused(day="1", month="2") == (
        "Artifact partition assignment does not match dataset partition keys: map[day:true region:false]"
    )
    assert refused(day="", _="2") == "missing partitionValue[0], missing partitionKey[1]"
    assert refused(day="1", day_="2") == "Artifact partitions repeat a key of the dataset"
    create(day="1", region="north")
    create(day="2", region="north")

    def listed(key: str, value: str) -> list[str]:
        pair = pb.PartitionPropertyFilter(key_val=pb.KeyValuePair(key=key, value=value))
        filters = pb.FilterExpression(filters=[pb.SinglePropertyFilter(partition_filter=pair)])
        found = catalog.ListArtifacts(pb.ListArtifactsRequest(dataset=dataset, filter=filters)).artifacts
        return [artifact.partitions[0].value for artifact in found]

    assert listed("region", "north") == ["2", "1"]
    assert listed("day", "1") == ["1"]
    assert listed("day", "3") == []


def test_artifacts_are_listed_newest_first_at_most_fifty(catalog: Any, made: pb.DatasetID) -> None:
    ids = [create(catalog, made, o0=number) for number in range(52)]
    tag(catalog, made, ids[7], "seventh")

    def listed(*filters: pb.SinglePropertyFilter, **options: Any) -> tuple[list[int], str]:
        page = pb.PaginationOptions(**options) if options else None
        request = pb.ListArtifactsRequest(dataset=made, filter=pb.FilterExpression(filters=filters), pagination=page)
        answer = catalog.ListArtifacts(request)
        return [numbers(artifact)["o0"] for artifact in answer.artifacts], answer.next_token

    assert listed() == (list(range(51, 1, -1)), "50")
    assert listed(limit=100) == (list(range(51, 1, -1)), "50")
    assert listed(limit=100, token="50") == ([1, 0], "52")
    assert listed(limit=2, sortOrder=pb.PaginationOptions.ASCENDING) == ([0, 1], "2")
    by_name = pb.SinglePropertyFilter(artifact_filter=pb.ArtifactPropertyFilter(artifact_id=ids[3]))
    assert listed(by_name) == ([3], "1")
    tagged = pb.SinglePropertyFilter(tag_filter=pb.TagPropertyFilter(tag_name="seventh"))
    assert listed(tagged) == ([7], "1")
    assert listed(tagged, by_name) == ([], "0")


def test_lists_of_a_dataset_that_does_not_exist(catalog: Any, dataset: pb.DatasetID) -> None:
    request = pb.ListArtifactsRequest(dataset=dataset)
    assert refusal(catalog.ListArtifacts, request) == missing("Dataset", dataset)


# --- tags


def test_an_artifact_is_found_by_its_tags_of_which_the_first_one_stays(catalog: Any, made: pb.DatasetID) -> None:
    first, second = create(catalog, made, o0=1), create(catalog, made, o0=2)
    by_name = pb.GetArtifactRequest(dataset=made, tag_name="t")
    assert refusal(catalog.GetArtifact, by_name) == (
        "NOT_FOUND",
        'missing entity of type Tag with identifier name:"t"',
    )
    tag(catalog, made, first, "t")
    tag(catalog, made, first, "u")
    found = by_tag(catalog, made, "t")
    assert (found.id, numbers(found)) == (first, {"o0": 1})
    assert [(one.name, one.artifact_id) for one in found.tags] == [("t", first), ("u", first)]
    assert by_tag(catalog, made, "u") == found == by_id(catalog, made, first)
    for artifact_id in (first, second):
        request = pb.AddTagRequest(tag=pb.Tag(name="t", artifact_id=artifact_id, dataset=made))
        assert refusal(catalog.AddTag, request)[0] == "ALREADY_EXISTS"
    assert not by_id(catalog, made, second).tags


def test_what_is_tagged_must_be_there(catalog: Any, dataset: pb.DatasetID) -> None:
    def refused(tag: pb.Tag | None) -> tuple[str, str]:
        return refusal(catalog.AddTag, pb.AddTagRequest(tag=tag))

    assert refused(None) == (INVALID, "missing tag")
    assert refused(pb.Tag(dataset=dataset, artifact_id="a")) == (INVALID, "missing tagName")
    assert refused(pb.Tag(dataset=dataset, name="t")) == (INVALID, "missing artifactID")
    whole = pb.Tag(dataset=dataset, name="t", artifact_id="a")
    assert refused(whole) == missing("Dataset", dataset)
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset)))
    assert refused(whole) == missing("Artifact", dataset, "a")


def test_an_artifact_is_asked_for_by_id_or_tag(catalog: Any, made: pb.DatasetID) -> None:
    for call, request in (
        (catalog.GetArtifact, pb.GetArtifactRequest),
        (catalog.UpdateArtifact, pb.UpdateArtifactRequest),
    ):
        assert refusal(call, request(dataset=made)) == (INVALID, "missing one of artifactID/tagName")
        assert refusal(call, request(dataset=made, artifact_id="")) == (INVALID, "missing artifactID")
        assert refusal(call, request(dataset=made, tag_name="")) == (INVALID, "missing tagName")
        assert refusal(call, request(artifact_id="a", dataset=pb.DatasetID(project="p"))) == (INVALID, "missing domain")


# --- updates


def test_an_updated_artifact_has_the_given_data_and_no_other_under_all_its_tags(
    catalog: Any, made: pb.DatasetID
) -> None:
    artifact_id = create(catalog, made, a=1, b=2)
    for name in ("t", "u"):
        tag(catalog, made, artifact_id, name)
    before = by_id(catalog, made, artifact_id)
    metadata = pb.Metadata(key_map={"by": "somebody"})
    request = pb.UpdateArtifactRequest(dataset=made, tag_name="t", data=data(b=3, c=4), metadata=metadata)
    assert catalog.UpdateArtifact(request).artifact_id == artifact_id
    for found in (by_tag(catalog, made, "t"), by_tag(catalog, made, "u"), by_id(catalog, made, artifact_id)):
        assert numbers(found) == {"b": 3, "c": 4}
        assert found.metadata == metadata
        assert (found.created_at, found.tags) == (before.created_at, before.tags)
    request = pb.UpdateArtifactRequest(artifact_id=artifact_id, data=data(d=5))
    assert catalog.UpdateArtifact(request).artifact_id == artifact_id
    assert numbers(by_tag(catalog, made, "u")) == {"d": 5}


def test_what_is_updated_must_be_there_and_needs_data(catalog: Any, made: pb.DatasetID) -> None:
    request = pb.UpdateArtifactRequest(dataset=made, artifact_id="a")
    assert refusal(catalog.UpdateArtifact, request) == (INVALID, "missing artifactData")
    request.data.extend(data(o0=1))
    assert refusal(catalog.UpdateArtifact, request) == missing("Artifact", made, "a")
    request.tag_name = "t"
    assert refusal(catalog.UpdateArtifact, request) == (
        "NOT_FOUND",
        'missing entity of type Tag with identifier name:"t"',
    )


def test_any_text_can_be_a_name(catalog: Any) -> None:
    odd = pb.DatasetID(project="p.>*", domain="ü / \0", name="long " * 2000, version="%2E")
    odd.name += uuid4().hex
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=odd)))
    artifact_id = "  \n " * 600 + uuid4().hex
    artifact = pb.Artifact(id=artifact_id, dataset=odd, data=data(o0=1))
    catalog.CreateArtifact(pb.CreateArtifactRequest(artifact=artifact))
    tag(catalog, odd, artifact_id, "t" * 5000)
    assert by_tag(catalog, odd, "t" * 5000).id == artifact_id
    assert by_id(catalog, odd, artifact_id).tags[0].name == "t" * 5000
    alike = pb.Artifact(id=f"{artifact_id}.", dataset=odd, data=data(o0=2))
    catalog.CreateArtifact(pb.CreateArtifactRequest(artifact=alike))
    assert not by_id(catalog, odd, alike.id).tags
    assert numbers(catalog.GetArtifact(pb.GetArtifactRequest(artifact_id=artifact_id)).artifact) == {"o0": 1}
    wanted = pb.SinglePropertyFilter(tag_filter=pb.TagPropertyFilter(tag_name="t" * 5001))
    request = pb.ListArtifactsRequest(dataset=odd, filter=pb.FilterExpression(filters=[wanted]))
    assert not catalog.ListArtifacts(request).artifacts


def test_data_that_are_lost_are_an_internal_error(catalog: Any, made: pb.DatasetID, stack: Any) -> None:
    from hashlib import sha256
    from pathlib import Path

    from flyteidl.core.literals_pb2 import LiteralMap

    number = uuid4().int % 2**62
    artifact_id = create(catalog, made, o0=number)
    literals = LiteralMap(literals={"o0": literal(number)}).SerializeToString(deterministic=True)
    (lost,) = Path(stack.endpoints["object_directory"]).rglob(f"catalog/data/{sha256(literals).hexdigest()}")
    lost.unlink()
    code, message = refusal(catalog.GetArtifact, pb.GetArtifactRequest(dataset=made, artifact_id=artifact_id))
    assert code == "INTERNAL"
    assert message.startswith("Unable to read artifact data from location ")
    assert refusal(catalog.ListArtifacts, pb.ListArtifactsRequest(dataset=made))[0] == "INTERNAL"
