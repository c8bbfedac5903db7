import datetime

from flightlog_protos.log.v1 import envelope_pb2 as _envelope_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DatasetCreated(_message.Message):
    __slots__ = ("dataset", "uuid", "metadata", "partition_keys", "occurred_at")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATASET_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PARTITION_KEYS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    dataset: _identifier_pb2.Identifier
    uuid: str
    metadata: _containers.ScalarMap[str, str]
    partition_keys: _containers.RepeatedScalarFieldContainer[str]
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, dataset: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., uuid: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., partition_keys: _Optional[_Iterable[str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ArtifactPartition(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class ArtifactCreated(_message.Message):
    __slots__ = ("dataset", "artifact_id", "data", "metadata", "partitions", "occurred_at")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATASET_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    dataset: _identifier_pb2.Identifier
    artifact_id: str
    data: _envelope_pb2.DataRef
    metadata: _containers.ScalarMap[str, str]
    partitions: _containers.RepeatedCompositeFieldContainer[ArtifactPartition]
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, dataset: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., artifact_id: _Optional[str] = ..., data: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., partitions: _Optional[_Iterable[_Union[ArtifactPartition, _Mapping]]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ArtifactUpdated(_message.Message):
    __slots__ = ("dataset", "artifact_id", "data", "metadata", "occurred_at", "tags", "source", "revision")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATASET_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    dataset: _identifier_pb2.Identifier
    artifact_id: str
    data: _envelope_pb2.DataRef
    metadata: _containers.ScalarMap[str, str]
    occurred_at: _timestamp_pb2.Timestamp
    tags: _containers.RepeatedScalarFieldContainer[str]
    source: _identifier_pb2.TaskExecutionIdentifier
    revision: int
    def __init__(self, dataset: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., artifact_id: _Optional[str] = ..., data: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., source: _Optional[_Union[_identifier_pb2.TaskExecutionIdentifier, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...
