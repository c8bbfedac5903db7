import datetime

from flightlog_protos.execution.v1 import facts_pb2 as _facts_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlaceTaken(_message.Message):
    __slots__ = ("execution", "limits", "holds", "occurred_at")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution: str
    limits: _containers.RepeatedCompositeFieldContainer[_facts_pb2.ConcurrencyLimit]
    holds: bool
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[_facts_pb2.ConcurrencyLimit, _Mapping]]] = ..., holds: _Optional[bool] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlaceAwaited(_message.Message):
    __slots__ = ("execution", "limits", "arrived", "occurred_at")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution: str
    limits: _containers.RepeatedCompositeFieldContainer[_facts_pb2.ConcurrencyLimit]
    arrived: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[_facts_pb2.ConcurrencyLimit, _Mapping]]] = ..., arrived: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlaceGiven(_message.Message):
    __slots__ = ("execution", "limits", "arrived", "occurred_at")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution: str
    limits: _containers.RepeatedCompositeFieldContainer[_facts_pb2.ConcurrencyLimit]
    arrived: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[_facts_pb2.ConcurrencyLimit, _Mapping]]] = ..., arrived: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlaceReclaimed(_message.Message):
    __slots__ = ("execution", "by", "limit", "occurred_at")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution: str
    by: str
    limit: _facts_pb2.ConcurrencyLimit
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution: _Optional[str] = ..., by: _Optional[str] = ..., limit: _Optional[_Union[_facts_pb2.ConcurrencyLimit, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlaceReleased(_message.Message):
    __slots__ = ("execution", "unclaimed", "occurred_at")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    UNCLAIMED_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution: str
    unclaimed: bool
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution: _Optional[str] = ..., unclaimed: _Optional[bool] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlaceRefused(_message.Message):
    __slots__ = ("execution", "limit", "occurred_at")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution: str
    limit: _facts_pb2.ConcurrencyLimit
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution: _Optional[str] = ..., limit: _Optional[_Union[_facts_pb2.ConcurrencyLimit, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class QueueStands(_message.Message):
    __slots__ = ("members", "overtaken")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    OVERTAKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[QueueMember]
    overtaken: int
    def __init__(self, members: _Optional[_Iterable[_Union[QueueMember, _Mapping]]] = ..., overtaken: _Optional[int] = ...) -> None: ...

class QueueStood(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class QueueMember(_message.Message):
    __slots__ = ("execution", "limits", "arrived", "since", "created", "holds", "reclaimed_by")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    RECLAIMED_BY_FIELD_NUMBER: _ClassVar[int]
    execution: str
    limits: _containers.RepeatedCompositeFieldContainer[_facts_pb2.ConcurrencyLimit]
    arrived: int
    since: _timestamp_pb2.Timestamp
    created: bool
    holds: bool
    reclaimed_by: str
    def __init__(self, execution: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[_facts_pb2.ConcurrencyLimit, _Mapping]]] = ..., arrived: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created: _Optional[bool] = ..., holds: _Optional[bool] = ..., reclaimed_by: _Optional[str] = ...) -> None: ...

class PlaceAlarm(_message.Message):
    __slots__ = ("execution_id", "correlation_id", "causation_id", "traceparent")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    correlation_id: str
    causation_id: str
    traceparent: str
    def __init__(self, execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...
