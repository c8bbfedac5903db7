import datetime

from flyteidl.admin import execution_pb2 as _execution_pb2
from flyteidl.core import execution_pb2 as _execution_pb2_1
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionRequested(_message.Message):
    __slots__ = ("request", "occurred_at")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    request: _execution_pb2.ExecutionCreateRequest
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, request: _Optional[_Union[_execution_pb2.ExecutionCreateRequest, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TerminationRequested(_message.Message):
    __slots__ = ("execution_id", "cause", "occurred_at")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    cause: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., cause: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExecutionRequestAnswered(_message.Message):
    __slots__ = ("execution_id", "requested_by", "kind", "phase", "code", "message", "occurred_at")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[ExecutionRequestAnswered.Kind]
        CREATED: _ClassVar[ExecutionRequestAnswered.Kind]
        EXISTED: _ClassVar[ExecutionRequestAnswered.Kind]
        REFUSED: _ClassVar[ExecutionRequestAnswered.Kind]
    KIND_UNSPECIFIED: ExecutionRequestAnswered.Kind
    CREATED: ExecutionRequestAnswered.Kind
    EXISTED: ExecutionRequestAnswered.Kind
    REFUSED: ExecutionRequestAnswered.Kind
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    requested_by: str
    kind: ExecutionRequestAnswered.Kind
    phase: _execution_pb2_1.WorkflowExecution.Phase
    code: str
    message: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., requested_by: _Optional[str] = ..., kind: _Optional[_Union[ExecutionRequestAnswered.Kind, str]] = ..., phase: _Optional[_Union[_execution_pb2_1.WorkflowExecution.Phase, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
