import datetime

from flightlog_protos.log.v1 import envelope_pb2 as _envelope_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
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

class CachedResult(_message.Message):
    __slots__ = ("artifact_id", "outputs", "source")
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    artifact_id: str
    outputs: _envelope_pb2.DataRef
    source: _identifier_pb2.TaskExecutionIdentifier
    def __init__(self, artifact_id: _Optional[str] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., source: _Optional[_Union[_identifier_pb2.TaskExecutionIdentifier, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("key", "holder", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    holder: _identifier_pb2.NodeExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., holder: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("key", "node", "occurred_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    key: CacheKey
    node: _identifier_pb2.NodeExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[CacheKey, _Mapping]] = ..., node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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
