from flightlog_protos.execution.v1 import facts_pb2 as _facts_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Order(_message.Message):
    __slots__ = ("scheduled", "origin", "ran", "abort", "resource_meta", "connector")
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    RAN_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_META_FIELD_NUMBER: _ClassVar[int]
    CONNECTOR_FIELD_NUMBER: _ClassVar[int]
    scheduled: _facts_pb2.AttemptScheduled
    origin: Origin
    ran: bool
    abort: Abort
    resource_meta: bytes
    connector: str
    def __init__(self, scheduled: _Optional[_Union[_facts_pb2.AttemptScheduled, _Mapping]] = ..., origin: _Optional[_Union[Origin, _Mapping]] = ..., ran: _Optional[bool] = ..., abort: _Optional[_Union[Abort, _Mapping]] = ..., resource_meta: _Optional[bytes] = ..., connector: _Optional[str] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("event_id", "correlation_id", "traceparent")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    correlation_id: str
    traceparent: str
    def __init__(self, event_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Abort(_message.Message):
    __slots__ = ("reason", "origin")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    reason: str
    origin: Origin
    def __init__(self, reason: _Optional[str] = ..., origin: _Optional[_Union[Origin, _Mapping]] = ...) -> None: ...
