import datetime

from flightlog_protos.execution.v1 import facts_pb2 as _facts_pb2
from flyteidl.core import execution_pb2 as _execution_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Queue(_message.Message):
    __slots__ = ("project", "domain", "limit", "running", "waiting")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    limit: _facts_pb2.ConcurrencyLimit
    running: _containers.RepeatedCompositeFieldContainer[Place]
    waiting: _containers.RepeatedCompositeFieldContainer[Place]
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., limit: _Optional[_Union[_facts_pb2.ConcurrencyLimit, _Mapping]] = ..., running: _Optional[_Iterable[_Union[Place, _Mapping]]] = ..., waiting: _Optional[_Iterable[_Union[Place, _Mapping]]] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("execution_id", "since", "created", "reclaimed_by")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    RECLAIMED_BY_FIELD_NUMBER: _ClassVar[int]
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    since: _timestamp_pb2.Timestamp
    created: bool
    reclaimed_by: str
    def __init__(self, execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created: _Optional[bool] = ..., reclaimed_by: _Optional[str] = ...) -> None: ...

class ListQueuesRequest(_message.Message):
    __slots__ = ("project", "domain", "execution")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    execution: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., execution: _Optional[str] = ...) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("queues",)
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[Queue]
    def __init__(self, queues: _Optional[_Iterable[_Union[Queue, _Mapping]]] = ...) -> None: ...

class ListWaitsRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.WorkflowExecutionIdentifier
    def __init__(self, id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ...) -> None: ...

class ListWaitsResponse(_message.Message):
    __slots__ = ("waits",)
    WAITS_FIELD_NUMBER: _ClassVar[int]
    waits: _containers.RepeatedCompositeFieldContainer[Wait]
    def __init__(self, waits: _Optional[_Iterable[_Union[Wait, _Mapping]]] = ...) -> None: ...

class Wait(_message.Message):
    __slots__ = ("node_id", "parent_node_id", "element", "kind", "attempt", "phase", "reason", "name", "due", "position", "limit", "stopping")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Wait.Kind]
        ATTEMPT: _ClassVar[Wait.Kind]
        CHILD_EXECUTION: _ClassVar[Wait.Kind]
        RETRY: _ClassVar[Wait.Kind]
        PLACE: _ClassVar[Wait.Kind]
        CACHE: _ClassVar[Wait.Kind]
        RESERVATION: _ClassVar[Wait.Kind]
        SIGNAL: _ClassVar[Wait.Kind]
        SLEEP: _ClassVar[Wait.Kind]
    KIND_UNSPECIFIED: Wait.Kind
    ATTEMPT: Wait.Kind
    CHILD_EXECUTION: Wait.Kind
    RETRY: Wait.Kind
    PLACE: Wait.Kind
    CACHE: Wait.Kind
    RESERVATION: Wait.Kind
    SIGNAL: Wait.Kind
    SLEEP: Wait.Kind
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    parent_node_id: str
    element: int
    kind: Wait.Kind
    attempt: int
    phase: _execution_pb2.TaskExecution.Phase
    reason: str
    name: str
    due: _timestamp_pb2.Timestamp
    position: int
    limit: int
    stopping: str
    def __init__(self, node_id: _Optional[str] = ..., parent_node_id: _Optional[str] = ..., element: _Optional[int] = ..., kind: _Optional[_Union[Wait.Kind, str]] = ..., attempt: _Optional[int] = ..., phase: _Optional[_Union[_execution_pb2.TaskExecution.Phase, str]] = ..., reason: _Optional[str] = ..., name: _Optional[str] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., position: _Optional[int] = ..., limit: _Optional[int] = ..., stopping: _Optional[str] = ...) -> None: ...
