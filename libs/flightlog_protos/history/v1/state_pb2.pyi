import datetime

from flyteidl.admin import execution_pb2 as _execution_pb2
from flyteidl.admin import node_execution_pb2 as _node_execution_pb2
from flyteidl.admin import signal_pb2 as _signal_pb2
from flyteidl.admin import task_execution_pb2 as _task_execution_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStateAtRequest(_message.Message):
    __slots__ = ("id", "time", "sequence", "position", "elapsed")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.WorkflowExecutionIdentifier
    time: _timestamp_pb2.Timestamp
    sequence: int
    position: int
    elapsed: _duration_pb2.Duration
    def __init__(self, id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ..., position: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetStateAtResponse(_message.Message):
    __slots__ = ("execution", "nodes", "signals", "sequence", "position", "recorded_at")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    execution: _execution_pb2.Execution
    nodes: _containers.RepeatedCompositeFieldContainer[NodeState]
    signals: _containers.RepeatedCompositeFieldContainer[_signal_pb2.Signal]
    sequence: int
    position: int
    recorded_at: _timestamp_pb2.Timestamp
    def __init__(self, execution: _Optional[_Union[_execution_pb2.Execution, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeState, _Mapping]]] = ..., signals: _Optional[_Iterable[_Union[_signal_pb2.Signal, _Mapping]]] = ..., sequence: _Optional[int] = ..., position: _Optional[int] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeState(_message.Message):
    __slots__ = ("node", "parent_node_id", "attempts")
    NODE_FIELD_NUMBER: _ClassVar[int]
    PARENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    node: _node_execution_pb2.NodeExecution
    parent_node_id: str
    attempts: _containers.RepeatedCompositeFieldContainer[_task_execution_pb2.TaskExecution]
    def __init__(self, node: _Optional[_Union[_node_execution_pb2.NodeExecution, _Mapping]] = ..., parent_node_id: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[_task_execution_pb2.TaskExecution, _Mapping]]] = ...) -> None: ...
