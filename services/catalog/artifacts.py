"""Datasets and artifacts as clients make them, and how they and results of the engine are one another's. Pure.

An artifact that a client tags is the result of a cache entry; a result of the engine is an artifact whose metadata say
what made it, in Flyte's words (engine-semantics §4.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import NAMESPACE_OID, uuid5

from flyteidl.core.identifier_pb2 import (
    DATASET,
    TASK,
    Identifier,
    NodeExecutionIdentifier,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from flyteidl.datacatalog import datacatalog_pb2 as datacatalog
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.artifacts_pb2 import (
    ArtifactCreated,
    ArtifactPartition,
    ArtifactUpdated,
    DatasetCreated,
)
from flightlog_protos.catalog.v1.cache_pb2 import CachedResult
from flightlog_protos.log.v1.envelope_pb2 import DataRef

TASK_VERSION: Final = "task-version"
EXECUTION_PROJECT: Final = "exec-project"
EXECUTION_DOMAIN: Final = "exec-domain"
EXECUTION_NAME: Final = "execution-name"
NODE_ID: Final = "exec-node"
ATTEMPT: Final = "exec-attempt"
"""Flyte's keys of a dataset's and an artifact's metadata (engine-semantics §4.3)."""

_TASK_PREFIX: Final = "flyte_task-"


def identifier_of(dataset: datacatalog.DatasetID) -> Identifier:
    """A dataset's name as the facts have it."""
    return Identifier(
        resource_type=DATASET,
        project=dataset.project,
        domain=dataset.domain,
        name=dataset.name,
        version=dataset.version,
    )


def dataset_id(dataset: Identifier, uuid: str = "") -> datacatalog.DatasetID:
    """A dataset's id as clients get it; its UUID follows from its name unless a client gave one."""
    name = "/".join(("flightlog", dataset.project, dataset.domain, dataset.name, dataset.version))
    return datacatalog.DatasetID(
        project=dataset.project,
        domain=dataset.domain,
        name=dataset.name,
        version=dataset.version,
        UUID=uuid or str(uuid5(NAMESPACE_OID, name)),
    )


def dataset_name(dataset: datacatalog.DatasetID) -> datacatalog.DatasetID:
    """A dataset's id without its UUID."""
    return datacatalog.DatasetID(
        project=dataset.project, domain=dataset.domain, name=dataset.name, version=dataset.version
    )


def dataset_created(dataset: datacatalog.Dataset, at: Timestamp) -> DatasetCreated:
    """A client creates a dataset."""
    return DatasetCreated(
        dataset=identifier_of(dataset.id),
        uuid=dataset.id.UUID,
        metadata=dataset.metadata.key_map,
        partition_keys=dataset.partitionKeys,
        occurred_at=at,
    )


def artifact_created(artifact: datacatalog.Artifact, data: DataRef, at: Timestamp) -> ArtifactCreated:
    """A client creates an artifact, whose data have been stored."""
    return ArtifactCreated(
        dataset=identifier_of(artifact.dataset),
        artifact_id=artifact.id,
        data=data,
        metadata=artifact.metadata.key_map,
        partitions=[ArtifactPartition(key=one.key, value=one.value) for one in artifact.partitions],
        occurred_at=at,
    )


def artifact_updated(
    artifact: datacatalog.Artifact,
    data: DataRef,
    metadata: Mapping[str, str],
    tags: Sequence[str],
    source: TaskExecutionIdentifier | None,
    revision: int,
    at: Timestamp,
) -> ArtifactUpdated:
    """A client gives an artifact other data.

    Args:
        tags: of the entries that have it.
        source: what made the data.
        revision: envelopes on the artifact's subject, with this one.
    """
    return ArtifactUpdated(
        dataset=identifier_of(artifact.dataset),
        artifact_id=artifact.id,
        data=data,
        metadata=metadata,
        tags=tags,
        source=source,
        revision=revision,
        occurred_at=at,
    )


def result_of(updated: ArtifactUpdated) -> CachedResult:
    """An updated artifact as the result of an entry."""
    return CachedResult(
        artifact_id=updated.artifact_id,
        outputs=updated.data,
        metadata=updated.metadata,
        source=updated.source if updated.HasField("source") else None,
        revision=updated.revision,
    )


def source_of(dataset: datacatalog.Dataset, metadata: Mapping[str, str]) -> TaskExecutionIdentifier | None:
    """What made an artifact, as its metadata say in Flyte's words; None where they do not."""
    name = metadata.get(EXECUTION_NAME)
    if not name:
        return None
    identifier = dataset.id
    attempt = metadata.get(ATTEMPT, "")
    execution = WorkflowExecutionIdentifier(
        project=metadata.get(EXECUTION_PROJECT, identifier.project),
        domain=metadata.get(EXECUTION_DOMAIN, identifier.domain),
        name=name,
    )
    return TaskExecutionIdentifier(
        task_id=Identifier(
            resource_type=TASK,
            project=identifier.project,
            domain=identifier.domain,
            name=identifier.name.removeprefix(_TASK_PREFIX),
            version=dataset.metadata.key_map.get(TASK_VERSION, "unknown"),
        ),
        node_execution_id=NodeExecutionIdentifier(execution_id=execution, node_id=metadata.get(NODE_ID, "unknown")),
        retry_attempt=int(attempt) if attempt.isascii() and attempt.isdigit() and len(attempt) < 10 else 0,
    )


def source_metadata(source: TaskExecutionIdentifier) -> dict[str, str]:
    """What an artifact's metadata say of the attempt that made it."""
    if not source.HasField("node_execution_id"):
        return {}
    node = source.node_execution_id
    return {
        EXECUTION_PROJECT: node.execution_id.project,
        EXECUTION_DOMAIN: node.execution_id.domain,
        EXECUTION_NAME: node.execution_id.name,
        NODE_ID: node.node_id,
        ATTEMPT: str(source.retry_attempt),
    }
