import datetime

from flightlog_protos.log.v1 import envelope_pb2 as _envelope_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CacheKey(_message.Message):
    __slots__ = ("dataset", "tag")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    dataset: _identifier_pb2.Identifier
    tag: str
    def __init__(self, dataset: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., tag: _Optional[str] = ...) -> None: ...

class InputHash(_message.Message):
    __slots__ = ("name", "hash")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    name: str
    hash: str
    def __init__(self, name: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class CachedResult(_message.Message):
    __slots__ = ("artifact_id", "outputs", "source", "input_hashes", "inputs", "metadata", "created_at", "revision")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    INPUT_HASHES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    artifact_id: str
    outputs: _envelope_pb2.DataRef
    source: _identifier_pb2.TaskExecutionIdentifier
    input_hashes: _containers.RepeatedCompositeFieldContainer[InputHash]
    inputs: _envelope_pb2.DataRef
    metadata: _containers.ScalarMap[str, str]
    created_at: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, artifact_id: _Optional[str] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., source: _Optional[_Union[_identifier_pb2.TaskExecutionIdentifier, _Mapping]] = ..., input_hashes: _Optional[_Iterable[_Union[InputHash, _Mapping]]] = ..., inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ResultCached(_message.Message):
    __slots__ = ("key", "result", "served", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    result: CachedResult
    served: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.NodeExecutionIdentifier]
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., result: _Optional[_Union[CachedResult, _Mapping]] = ..., served: _Optional[_Iterable[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationGranted(_message.Message):
    __slots__ = ("key", "holder", "occurred_at", "owner", "heartbeat_interval", "expires_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    holder: _identifier_pb2.NodeExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    owner: str
    heartbeat_interval: _duration_pb2.Duration
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., holder: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., owner: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationExtended(_message.Message):
    __slots__ = ("key", "owner", "heartbeat_interval", "expires_at", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    owner: str
    heartbeat_interval: _duration_pb2.Duration
    expires_at: _timestamp_pb2.Timestamp
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., owner: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationQueued(_message.Message):
    __slots__ = ("key", "waiter", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    WAITER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    waiter: _identifier_pb2.NodeExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., waiter: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationEnded(_message.Message):
    __slots__ = ("key", "node", "occurred_at", "owner", "lapsed")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LAPSED_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    node: _identifier_pb2.NodeExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    owner: str
    lapsed: bool
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., owner: _Optional[str] = ..., lapsed: _Optional[bool] = ...) -> None: ...

class ResultEvicted(_message.Message):
    __slots__ = ("key", "artifact_id", "reason", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    artifact_id: str
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., artifact_id: _Optional[str] = ..., reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResultPinned(_message.Message):
    __slots__ = ("key", "artifact_id", "reason", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    artifact_id: str
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., artifact_id: _Optional[str] = ..., reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResultUnpinned(_message.Message):
    __slots__ = ("key", "artifact_id", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    artifact_id: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., artifact_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationAlarm(_message.Message):
    __slots__ = ("key", "alarm_id", "correlation_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    alarm_id: str
    correlation_id: str
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., alarm_id: _Optional[str] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class CacheAnswer(_message.Message):
    __slots__ = ("node", "kind", "key", "result", "reason", "occurred_at")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[CacheAnswer.Kind]
        FOUND: _ClassVar[CacheAnswer.Kind]
        NOT_FOUND: _ClassVar[CacheAnswer.Kind]
        RESERVED: _ClassVar[CacheAnswer.Kind]
        AWAITING: _ClassVar[CacheAnswer.Kind]
        STORED: _ClassVar[CacheAnswer.Kind]
        NOT_STORED: _ClassVar[CacheAnswer.Kind]
        NOT_RESERVED: _ClassVar[CacheAnswer.Kind]
    KIND_UNSPECIFIED: CacheAnswer.Kind
    FOUND: CacheAnswer.Kind
    NOT_FOUND: CacheAnswer.Kind
    RESERVED: CacheAnswer.Kind
    AWAITING: CacheAnswer.Kind
    STORED: CacheAnswer.Kind
    NOT_STORED: CacheAnswer.Kind
    NOT_RESERVED: CacheAnswer.Kind
    NODE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    kind: CacheAnswer.Kind
    key: CacheKey
    result: CachedResult
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., kind: _Optional[_Union[CacheAnswer.Kind, str]] = ..., key: _Optional[_Union[CacheKey, _Mapping]] = ..., result: _Optional[_Union[CachedResult, _Mapping]] = ..., reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
