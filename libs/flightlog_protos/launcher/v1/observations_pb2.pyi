import datetime

from flyteidl.core import execution_pb2 as _execution_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttemptObserved(_message.Message):
    __slots__ = ("execution_id", "node_id", "attempt", "stage", "version", "reason", "logs", "occurred_at", "exit", "usage", "error", "recoverable", "custom_info", "plugin")
    class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STAGE_UNSPECIFIED: _ClassVar[AttemptObserved.Stage]
        WAITING_FOR_RESOURCES: _ClassVar[AttemptObserved.Stage]
        QUEUED: _ClassVar[AttemptObserved.Stage]
        INITIALIZING: _ClassVar[AttemptObserved.Stage]
        RUNNING: _ClassVar[AttemptObserved.Stage]
        EXITED: _ClassVar[AttemptObserved.Stage]
        NOT_LAUNCHED: _ClassVar[AttemptObserved.Stage]
        KILLED: _ClassVar[AttemptObserved.Stage]
        LOST: _ClassVar[AttemptObserved.Stage]
        FAILED: _ClassVar[AttemptObserved.Stage]
    STAGE_UNSPECIFIED: AttemptObserved.Stage
    WAITING_FOR_RESOURCES: AttemptObserved.Stage
    QUEUED: AttemptObserved.Stage
    INITIALIZING: AttemptObserved.Stage
    RUNNING: AttemptObserved.Stage
    EXITED: AttemptObserved.Stage
    NOT_LAUNCHED: AttemptObserved.Stage
    KILLED: AttemptObserved.Stage
    LOST: AttemptObserved.Stage
    FAILED: AttemptObserved.Stage
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RECOVERABLE_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_INFO_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    node_id: str
    attempt: int
    stage: AttemptObserved.Stage
    version: int
    reason: str
    logs: _containers.RepeatedCompositeFieldContainer[_execution_pb2.TaskLog]
    occurred_at: _timestamp_pb2.Timestamp
    exit: Exit
    usage: Usage
    error: _execution_pb2.ExecutionError
    recoverable: bool
    custom_info: _struct_pb2.Struct
    plugin: str
    def __init__(self, execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., stage: _Optional[_Union[AttemptObserved.Stage, str]] = ..., version: _Optional[int] = ..., reason: _Optional[str] = ..., logs: _Optional[_Iterable[_Union[_execution_pb2.TaskLog, _Mapping]]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exit: _Optional[_Union[Exit, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., error: _Optional[_Union[_execution_pb2.ExecutionError, _Mapping]] = ..., recoverable: _Optional[bool] = ..., custom_info: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., plugin: _Optional[str] = ...) -> None: ...

class Exit(_message.Message):
    __slots__ = ("code", "signal", "out_of_memory")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_MEMORY_FIELD_NUMBER: _ClassVar[int]
    code: int
    signal: int
    out_of_memory: bool
    def __init__(self, code: _Optional[int] = ..., signal: _Optional[int] = ..., out_of_memory: _Optional[bool] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("peak_memory_bytes", "cpu_time", "wall_time")
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    peak_memory_bytes: int
    cpu_time: _duration_pb2.Duration
    wall_time: _duration_pb2.Duration
    def __init__(self, peak_memory_bytes: _Optional[int] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
