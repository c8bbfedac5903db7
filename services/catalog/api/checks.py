"""What DataCatalog refuses in a request, in Flyte's words (engine-semantics §4.7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from flyteidl.datacatalog import datacatalog_pb2 as datacatalog

from flightlog_rpc import RpcError, invalid, missing

_ONE_OF = "one of artifactID/tagName"


def named(value: str, field: str) -> None:
    """Raises INVALID_ARGUMENT for an empty field."""
    if not value:
        raise missing(field)


def dataset_id(present: bool, dataset: datacatalog.DatasetID) -> None:
    """Raises INVALID_ARGUMENT for a dataset's id that is not there, or lacks a part.

    Args:
        present: whether the request has one.
    """
    if not present:
        raise missing("dataset")
    for field in ("project", "domain", "name", "version"):
        named(getattr(dataset, field), field)


def new_dataset(dataset: datacatalog.Dataset) -> None:
    """Raises INVALID_ARGUMENT for a dataset that cannot be created; all its faults are told at once."""
    faults: list[str] = []
    try:
        dataset_id(dataset.HasField("id"), dataset.id)
    except RpcError as error:
        faults.append(error.message)
    if dataset.id.UUID and not _is_uuid(dataset.id.UUID):
        faults.append(f"invalid value for UUID, value:[{dataset.id.UUID}]")
    counts = Counter(dataset.partitionKeys)
    if any(count > 1 for count in counts.values()):
        occurrences = " ".join(f"{key}:{count}" for key, count in sorted(counts.items()))
        faults.append(
            f"invalid value for partitionKey, value:[Keys are not unique, occurrence count: map[{occurrences}]]"
        )
    if faults:
        raise invalid(", ".join(faults))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def new_artifact(present: bool, artifact: datacatalog.Artifact) -> None:
    """Raises INVALID_ARGUMENT for an artifact that cannot be created in any dataset."""
    if not present:
        raise missing("artifact")
    dataset_id(artifact.HasField("dataset"), artifact.dataset)
    named(artifact.id, "artifactID")
    some_data(artifact.data)


def some_data(data: Sequence[datacatalog.ArtifactData]) -> None:
    """Raises INVALID_ARGUMENT for an artifact without data."""
    if not data:
        raise missing("artifactData")


def partitions(keys: Sequence[str], given: Sequence[datacatalog.Partition]) -> None:
    """Raises INVALID_ARGUMENT unless an artifact has a value for each of its dataset's partition keys, and no other."""
    if len(keys) != len(given):
        shown = " ".join(f'key:"{one.key}" value:"{one.value}"' for one in given)
        raise invalid(f"Partition key mismatch, dataset keys: [{' '.join(keys)}], artifact Partitions: [{shown}]")
    faults: list[str] = []
    matched = dict.fromkeys(keys, False)
    mismatch = False
    for index, partition in enumerate(given):
        if not partition.key:
            faults.append(f"missing partitionKey[{index}]")
        elif not partition.value:
            faults.append(f"missing partitionValue[{index}]")
        elif partition.key in matched:
            matched[partition.key] = True
        else:
            mismatch = True
    if mismatch:
        shown = " ".join(f"{key}:{str(found).lower()}" for key, found in sorted(matched.items()))
        faults.append(f"Artifact partition assignment does not match dataset partition keys: map[{shown}]")
    elif not faults and not all(matched.values()):
        faults.append("Artifact partitions repeat a key of the dataset")
    if faults:
        raise invalid(", ".join(faults))


def query_handle(request: datacatalog.GetArtifactRequest | datacatalog.UpdateArtifactRequest) -> None:
    """Raises INVALID_ARGUMENT unless a request names one artifact; the dataset may be left out beside an id."""
    match request.WhichOneof("query_handle"):
        case "artifact_id":
            if request.HasField("dataset"):
                dataset_id(True, request.dataset)
            named(request.artifact_id, "artifactID")
        case "tag_name":
            dataset_id(request.HasField("dataset"), request.dataset)
            named(request.tag_name, "tagName")
        case _:
            raise missing(_ONE_OF)


def new_tag(present: bool, tag: datacatalog.Tag) -> None:
    """Raises INVALID_ARGUMENT for a tag that lacks something."""
    if not present:
        raise missing("tag")
    dataset_id(tag.HasField("dataset"), tag.dataset)
    named(tag.name, "tagName")
    named(tag.artifact_id, "artifactID")
