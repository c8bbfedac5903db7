import datetime

from flightlog_protos.catalog.v1 import cache_pb2 as _cache_pb2
from flightlog_protos.launcher.v1 import observations_pb2 as _observations_pb2
from flightlog_protos.log.v1 import envelope_pb2 as _envelope_pb2
from flyteidl.admin import execution_pb2 as _execution_pb2
from flyteidl.admin import matchable_resource_pb2 as _matchable_resource_pb2
from flyteidl.core import catalog_pb2 as _catalog_pb2
from flyteidl.core import execution_pb2 as _execution_pb2_1
from flyteidl.core import identifier_pb2 as _identifier_pb2
from flyteidl.core import literals_pb2 as _literals_pb2
from flyteidl.core import security_pb2 as _security_pb2
from flyteidl.core import tasks_pb2 as _tasks_pb2
from flyteidl.core import types_pb2 as _types_pb2
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

class NodeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_KIND_UNSPECIFIED: _ClassVar[NodeKind]
    START: _ClassVar[NodeKind]
    END: _ClassVar[NodeKind]
    TASK: _ClassVar[NodeKind]
    SUB_WORKFLOW: _ClassVar[NodeKind]
    BRANCH: _ClassVar[NodeKind]
    GATE: _ClassVar[NodeKind]
    ARRAY: _ClassVar[NodeKind]
    LAUNCH_PLAN: _ClassVar[NodeKind]

class NodeEnding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_ENDING_UNSPECIFIED: _ClassVar[NodeEnding]
    ENDS_FAILED: _ClassVar[NodeEnding]
    ENDS_TIMED_OUT: _ClassVar[NodeEnding]
    ENDS_RETRYING: _ClassVar[NodeEnding]

class TimerKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIMER_KIND_UNSPECIFIED: _ClassVar[TimerKind]
    RETRY: _ClassVar[TimerKind]
    ATTEMPT_DEADLINE: _ClassVar[TimerKind]
    NODE_DEADLINE: _ClassVar[TimerKind]
    SLEEP: _ClassVar[TimerKind]
    QUEUE_DEADLINE: _ClassVar[TimerKind]
NODE_KIND_UNSPECIFIED: NodeKind
START: NodeKind
END: NodeKind
TASK: NodeKind
SUB_WORKFLOW: NodeKind
BRANCH: NodeKind
GATE: NodeKind
ARRAY: NodeKind
LAUNCH_PLAN: NodeKind
NODE_ENDING_UNSPECIFIED: NodeEnding
ENDS_FAILED: NodeEnding
ENDS_TIMED_OUT: NodeEnding
ENDS_RETRYING: NodeEnding
TIMER_KIND_UNSPECIFIED: TimerKind
RETRY: TimerKind
ATTEMPT_DEADLINE: TimerKind
NODE_DEADLINE: TimerKind
SLEEP: TimerKind
QUEUE_DEADLINE: TimerKind

class ExecutionCreated(_message.Message):
    __slots__ = ("id", "spec", "workflow_id", "closure", "inputs", "user_inputs", "notifications", "config", "created_at", "parent", "recovery", "requested_by", "limits", "addresses")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    USER_INPUTS_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.WorkflowExecutionIdentifier
    spec: _execution_pb2.ExecutionSpec
    workflow_id: _identifier_pb2.Identifier
    closure: _envelope_pb2.DataRef
    inputs: _envelope_pb2.DataRef
    user_inputs: _envelope_pb2.DataRef
    notifications: _execution_pb2.NotificationList
    config: ResolvedConfig
    created_at: _timestamp_pb2.Timestamp
    parent: ParentAttempt
    recovery: _envelope_pb2.DataRef
    requested_by: str
    limits: _containers.RepeatedCompositeFieldContainer[ConcurrencyLimit]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., spec: _Optional[_Union[_execution_pb2.ExecutionSpec, _Mapping]] = ..., workflow_id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., closure: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., user_inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., notifications: _Optional[_Union[_execution_pb2.NotificationList, _Mapping]] = ..., config: _Optional[_Union[ResolvedConfig, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent: _Optional[_Union[ParentAttempt, _Mapping]] = ..., recovery: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., requested_by: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[ConcurrencyLimit, _Mapping]]] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class ConcurrencyLimit(_message.Message):
    __slots__ = ("name", "max", "behavior", "held_by")
    class Behavior(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BEHAVIOR_UNSPECIFIED: _ClassVar[ConcurrencyLimit.Behavior]
        SKIP: _ClassVar[ConcurrencyLimit.Behavior]
        WAIT: _ClassVar[ConcurrencyLimit.Behavior]
        REPLACE: _ClassVar[ConcurrencyLimit.Behavior]
    BEHAVIOR_UNSPECIFIED: ConcurrencyLimit.Behavior
    SKIP: ConcurrencyLimit.Behavior
    WAIT: ConcurrencyLimit.Behavior
    REPLACE: ConcurrencyLimit.Behavior
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_FIELD_NUMBER: _ClassVar[int]
    HELD_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    max: int
    behavior: ConcurrencyLimit.Behavior
    held_by: str
    def __init__(self, name: _Optional[str] = ..., max: _Optional[int] = ..., behavior: _Optional[_Union[ConcurrencyLimit.Behavior, str]] = ..., held_by: _Optional[str] = ...) -> None: ...

class ExecutionWaiting(_message.Message):
    __slots__ = ("limits", "occurred_at")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedScalarFieldContainer[str]
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, limits: _Optional[_Iterable[str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ParentAttempt(_message.Message):
    __slots__ = ("node", "attempt")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    attempt: int
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., attempt: _Optional[int] = ...) -> None: ...

class ResolvedConfig(_message.Message):
    __slots__ = ("max_parallelism", "interruptible", "overwrite_cache", "envs", "labels", "annotations", "launch_plan", "metadata_prefix", "raw_output_prefix", "queueing_budget", "parallelism_root", "task_resources", "default_queueing_budget")
    class EnvsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AnnotationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MAX_PARALLELISM_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIBLE_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_CACHE_FIELD_NUMBER: _ClassVar[int]
    ENVS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    METADATA_PREFIX_FIELD_NUMBER: _ClassVar[int]
    RAW_OUTPUT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    QUEUEING_BUDGET_FIELD_NUMBER: _ClassVar[int]
    PARALLELISM_ROOT_FIELD_NUMBER: _ClassVar[int]
    TASK_RESOURCES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_QUEUEING_BUDGET_FIELD_NUMBER: _ClassVar[int]
    max_parallelism: int
    interruptible: bool
    overwrite_cache: bool
    envs: _containers.ScalarMap[str, str]
    labels: _containers.ScalarMap[str, str]
    annotations: _containers.ScalarMap[str, str]
    launch_plan: _identifier_pb2.Identifier
    metadata_prefix: str
    raw_output_prefix: str
    queueing_budget: _duration_pb2.Duration
    parallelism_root: _identifier_pb2.WorkflowExecutionIdentifier
    task_resources: _matchable_resource_pb2.TaskResourceAttributes
    default_queueing_budget: _duration_pb2.Duration
    def __init__(self, max_parallelism: _Optional[int] = ..., interruptible: _Optional[bool] = ..., overwrite_cache: _Optional[bool] = ..., envs: _Optional[_Mapping[str, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., annotations: _Optional[_Mapping[str, str]] = ..., launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., metadata_prefix: _Optional[str] = ..., raw_output_prefix: _Optional[str] = ..., queueing_budget: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., parallelism_root: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., task_resources: _Optional[_Union[_matchable_resource_pb2.TaskResourceAttributes, _Mapping]] = ..., default_queueing_budget: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExecutionStarted(_message.Message):
    __slots__ = ("occurred_at", "addresses")
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    occurred_at: _timestamp_pb2.Timestamp
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class ExecutionFailing(_message.Message):
    __slots__ = ("error", "node_id", "occurred_at")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    error: _execution_pb2_1.ExecutionError
    node_id: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., node_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AbortRequested(_message.Message):
    __slots__ = ("cause", "principal", "occurred_at", "force")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    cause: str
    principal: str
    occurred_at: _timestamp_pb2.Timestamp
    force: bool
    def __init__(self, cause: _Optional[str] = ..., principal: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., force: _Optional[bool] = ...) -> None: ...

class ExecutionSucceeded(_message.Message):
    __slots__ = ("outputs", "occurred_at", "parent", "requested_by", "queued")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    outputs: _envelope_pb2.DataRef
    occurred_at: _timestamp_pb2.Timestamp
    parent: ParentAttempt
    requested_by: str
    queued: bool
    def __init__(self, outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent: _Optional[_Union[ParentAttempt, _Mapping]] = ..., requested_by: _Optional[str] = ..., queued: _Optional[bool] = ...) -> None: ...

class ExecutionFailed(_message.Message):
    __slots__ = ("error", "occurred_at", "parent", "requested_by", "queued")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    error: _execution_pb2_1.ExecutionError
    occurred_at: _timestamp_pb2.Timestamp
    parent: ParentAttempt
    requested_by: str
    queued: bool
    def __init__(self, error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent: _Optional[_Union[ParentAttempt, _Mapping]] = ..., requested_by: _Optional[str] = ..., queued: _Optional[bool] = ...) -> None: ...

class ExecutionAborted(_message.Message):
    __slots__ = ("occurred_at", "parent", "requested_by", "queued")
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    occurred_at: _timestamp_pb2.Timestamp
    parent: ParentAttempt
    requested_by: str
    queued: bool
    def __init__(self, occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent: _Optional[_Union[ParentAttempt, _Mapping]] = ..., requested_by: _Optional[str] = ..., queued: _Optional[bool] = ...) -> None: ...

class ExecutionStateChanged(_message.Message):
    __slots__ = ("state", "principal", "occurred_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.ExecutionState
    principal: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[_Union[_execution_pb2.ExecutionState, str]] = ..., principal: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExecutionDeleted(_message.Message):
    __slots__ = ("reason", "principal", "occurred_at")
    REASON_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    principal: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., principal: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeQueued(_message.Message):
    __slots__ = ("node_id", "spec_node_id", "parent_node_id", "retry_group", "kind", "name", "inputs", "data_prefix", "is_parent", "occurred_at", "element", "handles_failure", "cache", "is_array_task", "without_slot")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RETRY_GROUP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DATA_PREFIX_FIELD_NUMBER: _ClassVar[int]
    IS_PARENT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FAILURE_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    IS_ARRAY_TASK_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_SLOT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    spec_node_id: str
    parent_node_id: str
    retry_group: str
    kind: NodeKind
    name: str
    inputs: _envelope_pb2.DataRef
    data_prefix: str
    is_parent: bool
    occurred_at: _timestamp_pb2.Timestamp
    element: int
    handles_failure: bool
    cache: CacheUse
    is_array_task: bool
    without_slot: bool
    def __init__(self, node_id: _Optional[str] = ..., spec_node_id: _Optional[str] = ..., parent_node_id: _Optional[str] = ..., retry_group: _Optional[str] = ..., kind: _Optional[_Union[NodeKind, str]] = ..., name: _Optional[str] = ..., inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., data_prefix: _Optional[str] = ..., is_parent: _Optional[bool] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., element: _Optional[int] = ..., handles_failure: _Optional[bool] = ..., cache: _Optional[_Union[CacheUse, _Mapping]] = ..., is_array_task: _Optional[bool] = ..., without_slot: _Optional[bool] = ...) -> None: ...

class CacheUse(_message.Message):
    __slots__ = ("key", "overwrites", "serializes", "input_hashes")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OVERWRITES_FIELD_NUMBER: _ClassVar[int]
    SERIALIZES_FIELD_NUMBER: _ClassVar[int]
    INPUT_HASHES_FIELD_NUMBER: _ClassVar[int]
    key: _cache_pb2.CacheKey
    overwrites: bool
    serializes: bool
    input_hashes: _containers.RepeatedCompositeFieldContainer[_cache_pb2.InputHash]
    def __init__(self, key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., overwrites: _Optional[bool] = ..., serializes: _Optional[bool] = ..., input_hashes: _Optional[_Iterable[_Union[_cache_pb2.InputHash, _Mapping]]] = ...) -> None: ...

class CacheAsked(_message.Message):
    __slots__ = ("node", "occurred_at")
    NODE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node: NodeQueued
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node: _Optional[_Union[NodeQueued, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationAsked(_message.Message):
    __slots__ = ("node_id", "key", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    key: _cache_pb2.CacheKey
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationAwaited(_message.Message):
    __slots__ = ("node_id", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReservationHeld(_message.Message):
    __slots__ = ("node_id", "occurred_at", "overwrites")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    OVERWRITES_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    occurred_at: _timestamp_pb2.Timestamp
    overwrites: bool
    def __init__(self, node_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., overwrites: _Optional[bool] = ...) -> None: ...

class ReservationReleased(_message.Message):
    __slots__ = ("node_id", "key", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    key: _cache_pb2.CacheKey
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SlotAwaited(_message.Message):
    __slots__ = ("node_id", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SlotAsked(_message.Message):
    __slots__ = ("node_id", "number", "root", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    number: int
    root: _identifier_pb2.WorkflowExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., number: _Optional[int] = ..., root: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SlotTaken(_message.Message):
    __slots__ = ("node_id", "number", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    number: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., number: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SlotReturned(_message.Message):
    __slots__ = ("node_id", "number", "root", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    number: int
    root: _identifier_pb2.WorkflowExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., number: _Optional[int] = ..., root: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SlotQueued(_message.Message):
    __slots__ = ("node", "number", "occurred_at")
    NODE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    number: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., number: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SlotGranted(_message.Message):
    __slots__ = ("node", "number", "occurred_at")
    NODE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    number: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., number: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SlotFreed(_message.Message):
    __slots__ = ("node", "number", "occurred_at")
    NODE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    number: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., number: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CachePutRequested(_message.Message):
    __slots__ = ("node_id", "attempt", "key", "outputs", "deck_uri", "task_id", "overwrites", "occurred_at", "input_hashes", "inputs")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DECK_URI_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OVERWRITES_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    INPUT_HASHES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    key: _cache_pb2.CacheKey
    outputs: _envelope_pb2.DataRef
    deck_uri: str
    task_id: _identifier_pb2.Identifier
    overwrites: bool
    occurred_at: _timestamp_pb2.Timestamp
    input_hashes: _containers.RepeatedCompositeFieldContainer[_cache_pb2.InputHash]
    inputs: _envelope_pb2.DataRef
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., deck_uri: _Optional[str] = ..., task_id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., overwrites: _Optional[bool] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., input_hashes: _Optional[_Iterable[_Union[_cache_pb2.InputHash, _Mapping]]] = ..., inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ...) -> None: ...

class NodeStarted(_message.Message):
    __slots__ = ("node_id", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeSucceeded(_message.Message):
    __slots__ = ("node_id", "outputs", "deck_uri", "occurred_at", "cache_status", "catalog_key")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DECK_URI_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    CACHE_STATUS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_KEY_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    outputs: _envelope_pb2.DataRef
    deck_uri: str
    occurred_at: _timestamp_pb2.Timestamp
    cache_status: _catalog_pb2.CatalogCacheStatus
    catalog_key: _catalog_pb2.CatalogMetadata
    def __init__(self, node_id: _Optional[str] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., deck_uri: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cache_status: _Optional[_Union[_catalog_pb2.CatalogCacheStatus, str]] = ..., catalog_key: _Optional[_Union[_catalog_pb2.CatalogMetadata, _Mapping]] = ...) -> None: ...

class NodeFailing(_message.Message):
    __slots__ = ("node_id", "ending", "error", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    ending: NodeEnding
    error: _execution_pb2_1.ExecutionError
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., ending: _Optional[_Union[NodeEnding, str]] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeFailed(_message.Message):
    __slots__ = ("node_id", "error", "occurred_at", "deck_uri")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    DECK_URI_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    error: _execution_pb2_1.ExecutionError
    occurred_at: _timestamp_pb2.Timestamp
    deck_uri: str
    def __init__(self, node_id: _Optional[str] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deck_uri: _Optional[str] = ...) -> None: ...

class NodeTimedOut(_message.Message):
    __slots__ = ("node_id", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeAborted(_message.Message):
    __slots__ = ("node_id", "error", "occurred_at", "unseen")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    error: _execution_pb2_1.ExecutionError
    occurred_at: _timestamp_pb2.Timestamp
    unseen: bool
    def __init__(self, node_id: _Optional[str] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unseen: _Optional[bool] = ...) -> None: ...

class NodeSkipped(_message.Message):
    __slots__ = ("node_id", "spec_node_id", "parent_node_id", "retry_group", "kind", "name", "visible", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RETRY_GROUP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    spec_node_id: str
    parent_node_id: str
    retry_group: str
    kind: NodeKind
    name: str
    visible: bool
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., spec_node_id: _Optional[str] = ..., parent_node_id: _Optional[str] = ..., retry_group: _Optional[str] = ..., kind: _Optional[_Union[NodeKind, str]] = ..., name: _Optional[str] = ..., visible: _Optional[bool] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BranchTaken(_message.Message):
    __slots__ = ("node_id", "spec_node_id", "case", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    spec_node_id: str
    case: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., spec_node_id: _Optional[str] = ..., case: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DynamicPlanned(_message.Message):
    __slots__ = ("node_id", "attempt", "closure", "job_spec", "workflow_id", "occurred_at", "deck_uri", "addresses")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    JOB_SPEC_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    DECK_URI_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    closure: _envelope_pb2.DataRef
    job_spec: _envelope_pb2.DataRef
    workflow_id: _identifier_pb2.Identifier
    occurred_at: _timestamp_pb2.Timestamp
    deck_uri: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., closure: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., job_spec: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., workflow_id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deck_uri: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class ArrayPlanned(_message.Message):
    __slots__ = ("node_id", "attempt", "size", "min_successes", "parallelism", "task_id", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MIN_SUCCESSES_FIELD_NUMBER: _ClassVar[int]
    PARALLELISM_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    size: int
    min_successes: int
    parallelism: int
    task_id: _identifier_pb2.Identifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., size: _Optional[int] = ..., min_successes: _Optional[int] = ..., parallelism: _Optional[int] = ..., task_id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ArrayEnded(_message.Message):
    __slots__ = ("node_id", "attempt", "phase", "outputs", "error", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    phase: _execution_pb2_1.TaskExecution.Phase
    outputs: _envelope_pb2.DataRef
    error: _execution_pb2_1.ExecutionError
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., phase: _Optional[_Union[_execution_pb2_1.TaskExecution.Phase, str]] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ChildExecutionRequested(_message.Message):
    __slots__ = ("node_id", "attempt", "execution_id", "launch_plan", "inputs", "output_prefix", "occurred_at", "recovers")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    RECOVERS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    launch_plan: _identifier_pb2.Identifier
    inputs: _envelope_pb2.DataRef
    output_prefix: str
    occurred_at: _timestamp_pb2.Timestamp
    recovers: _identifier_pb2.WorkflowExecutionIdentifier
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., output_prefix: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., recovers: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ...) -> None: ...

class ChildExecutionAborting(_message.Message):
    __slots__ = ("node_id", "attempt", "execution_id", "reason", "occurred_at", "timed_out")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    timed_out: bool
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timed_out: _Optional[bool] = ...) -> None: ...

class ChildExecutionEnded(_message.Message):
    __slots__ = ("node_id", "attempt", "phase", "outputs", "error", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    phase: _execution_pb2_1.WorkflowExecution.Phase
    outputs: _envelope_pb2.DataRef
    error: _execution_pb2_1.ExecutionError
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., phase: _Optional[_Union[_execution_pb2_1.WorkflowExecution.Phase, str]] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SignalAwaited(_message.Message):
    __slots__ = ("node_id", "signal_id", "type", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    signal_id: str
    type: _types_pb2.LiteralType
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., signal_id: _Optional[str] = ..., type: _Optional[_Union[_types_pb2.LiteralType, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SignalSet(_message.Message):
    __slots__ = ("signal_id", "value", "principal", "occurred_at")
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    signal_id: str
    value: _literals_pb2.Literal
    principal: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, signal_id: _Optional[str] = ..., value: _Optional[_Union[_literals_pb2.Literal, _Mapping]] = ..., principal: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeRecovered(_message.Message):
    __slots__ = ("node_id", "source", "outputs", "deck_uri", "occurred_at", "cache_status", "catalog_key", "plan", "child")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DECK_URI_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    CACHE_STATUS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_KEY_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CHILD_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    source: _identifier_pb2.NodeExecutionIdentifier
    outputs: _envelope_pb2.DataRef
    deck_uri: str
    occurred_at: _timestamp_pb2.Timestamp
    cache_status: _catalog_pb2.CatalogCacheStatus
    catalog_key: _catalog_pb2.CatalogMetadata
    plan: DynamicPlanned
    child: _identifier_pb2.WorkflowExecutionIdentifier
    def __init__(self, node_id: _Optional[str] = ..., source: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., deck_uri: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cache_status: _Optional[_Union[_catalog_pb2.CatalogCacheStatus, str]] = ..., catalog_key: _Optional[_Union[_catalog_pb2.CatalogMetadata, _Mapping]] = ..., plan: _Optional[_Union[DynamicPlanned, _Mapping]] = ..., child: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ...) -> None: ...

class RecoveryPlan(_message.Message):
    __slots__ = ("closure", "nodes")
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    closure: bytes
    nodes: _containers.RepeatedCompositeFieldContainer[RecoverableNode]
    def __init__(self, closure: _Optional[bytes] = ..., nodes: _Optional[_Iterable[_Union[RecoverableNode, _Mapping]]] = ...) -> None: ...

class RecoverableNode(_message.Message):
    __slots__ = ("path", "id", "kind", "phase", "inputs", "outputs", "deck_uri", "cache_status", "catalog_key", "plan", "child", "checkpoint_prefix", "error")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DECK_URI_FIELD_NUMBER: _ClassVar[int]
    CACHE_STATUS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_KEY_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CHILD_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    path: str
    id: _identifier_pb2.NodeExecutionIdentifier
    kind: NodeKind
    phase: _execution_pb2_1.NodeExecution.Phase
    inputs: _envelope_pb2.DataRef
    outputs: _envelope_pb2.DataRef
    deck_uri: str
    cache_status: _catalog_pb2.CatalogCacheStatus
    catalog_key: _catalog_pb2.CatalogMetadata
    plan: DynamicPlanned
    child: _identifier_pb2.WorkflowExecutionIdentifier
    checkpoint_prefix: str
    error: _execution_pb2_1.ExecutionError
    def __init__(self, path: _Optional[str] = ..., id: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., kind: _Optional[_Union[NodeKind, str]] = ..., phase: _Optional[_Union[_execution_pb2_1.NodeExecution.Phase, str]] = ..., inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., deck_uri: _Optional[str] = ..., cache_status: _Optional[_Union[_catalog_pb2.CatalogCacheStatus, str]] = ..., catalog_key: _Optional[_Union[_catalog_pb2.CatalogMetadata, _Mapping]] = ..., plan: _Optional[_Union[DynamicPlanned, _Mapping]] = ..., child: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., checkpoint_prefix: _Optional[str] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ...) -> None: ...

class AttemptScheduled(_message.Message):
    __slots__ = ("node_id", "attempt", "task_id", "task_type", "generated_name", "closure", "inputs", "output_prefix", "raw_output_prefix", "checkpoint_prefix", "previous_checkpoint_prefix", "interruptible", "resources", "container_image", "extended_resources", "envs", "execution_id", "workflow_id", "occurred_at", "in_engine", "labels", "annotations", "security_context", "results_prefix", "deck_uri", "pod_template", "task_resources", "spec_node_id")
    class EnvsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AnnotationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    GENERATED_NAME_FIELD_NUMBER: _ClassVar[int]
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    RAW_OUTPUT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CHECKPOINT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIBLE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_IMAGE_FIELD_NUMBER: _ClassVar[int]
    EXTENDED_RESOURCES_FIELD_NUMBER: _ClassVar[int]
    ENVS_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    IN_ENGINE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    SECURITY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_PREFIX_FIELD_NUMBER: _ClassVar[int]
    DECK_URI_FIELD_NUMBER: _ClassVar[int]
    POD_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    TASK_RESOURCES_FIELD_NUMBER: _ClassVar[int]
    SPEC_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    task_id: _identifier_pb2.Identifier
    task_type: str
    generated_name: str
    closure: _envelope_pb2.DataRef
    inputs: _envelope_pb2.DataRef
    output_prefix: str
    raw_output_prefix: str
    checkpoint_prefix: str
    previous_checkpoint_prefix: str
    interruptible: bool
    resources: _tasks_pb2.Resources
    container_image: str
    extended_resources: _tasks_pb2.ExtendedResources
    envs: _containers.ScalarMap[str, str]
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    workflow_id: _identifier_pb2.Identifier
    occurred_at: _timestamp_pb2.Timestamp
    in_engine: bool
    labels: _containers.ScalarMap[str, str]
    annotations: _containers.ScalarMap[str, str]
    security_context: _security_pb2.SecurityContext
    results_prefix: str
    deck_uri: str
    pod_template: _tasks_pb2.K8sPod
    task_resources: _matchable_resource_pb2.TaskResourceAttributes
    spec_node_id: str
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., task_id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., task_type: _Optional[str] = ..., generated_name: _Optional[str] = ..., closure: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., inputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., output_prefix: _Optional[str] = ..., raw_output_prefix: _Optional[str] = ..., checkpoint_prefix: _Optional[str] = ..., previous_checkpoint_prefix: _Optional[str] = ..., interruptible: _Optional[bool] = ..., resources: _Optional[_Union[_tasks_pb2.Resources, _Mapping]] = ..., container_image: _Optional[str] = ..., extended_resources: _Optional[_Union[_tasks_pb2.ExtendedResources, _Mapping]] = ..., envs: _Optional[_Mapping[str, str]] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., workflow_id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., in_engine: _Optional[bool] = ..., labels: _Optional[_Mapping[str, str]] = ..., annotations: _Optional[_Mapping[str, str]] = ..., security_context: _Optional[_Union[_security_pb2.SecurityContext, _Mapping]] = ..., results_prefix: _Optional[str] = ..., deck_uri: _Optional[str] = ..., pod_template: _Optional[_Union[_tasks_pb2.K8sPod, _Mapping]] = ..., task_resources: _Optional[_Union[_matchable_resource_pb2.TaskResourceAttributes, _Mapping]] = ..., spec_node_id: _Optional[str] = ...) -> None: ...

class AttemptProgressed(_message.Message):
    __slots__ = ("node_id", "attempt", "phase", "phase_version", "reason", "logs", "occurred_at", "custom_info", "plugin")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PHASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_INFO_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    phase: _execution_pb2_1.TaskExecution.Phase
    phase_version: int
    reason: str
    logs: _containers.RepeatedCompositeFieldContainer[_execution_pb2_1.TaskLog]
    occurred_at: _timestamp_pb2.Timestamp
    custom_info: _struct_pb2.Struct
    plugin: str
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., phase: _Optional[_Union[_execution_pb2_1.TaskExecution.Phase, str]] = ..., phase_version: _Optional[int] = ..., reason: _Optional[str] = ..., logs: _Optional[_Iterable[_Union[_execution_pb2_1.TaskLog, _Mapping]]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., custom_info: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., plugin: _Optional[str] = ...) -> None: ...

class AttemptSucceeded(_message.Message):
    __slots__ = ("node_id", "attempt", "outputs", "usage", "occurred_at", "logs", "addresses", "custom_info", "plugin")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_INFO_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    outputs: _envelope_pb2.DataRef
    usage: _observations_pb2.Usage
    occurred_at: _timestamp_pb2.Timestamp
    logs: _containers.RepeatedCompositeFieldContainer[_execution_pb2_1.TaskLog]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    custom_info: _struct_pb2.Struct
    plugin: str
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., outputs: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., usage: _Optional[_Union[_observations_pb2.Usage, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., logs: _Optional[_Iterable[_Union[_execution_pb2_1.TaskLog, _Mapping]]] = ..., addresses: _Optional[_Iterable[str]] = ..., custom_info: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., plugin: _Optional[str] = ...) -> None: ...

class AttemptFailed(_message.Message):
    __slots__ = ("node_id", "attempt", "error", "recoverable", "usage", "occurred_at", "logs", "custom_info", "plugin")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RECOVERABLE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_INFO_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    error: _execution_pb2_1.ExecutionError
    recoverable: bool
    usage: _observations_pb2.Usage
    occurred_at: _timestamp_pb2.Timestamp
    logs: _containers.RepeatedCompositeFieldContainer[_execution_pb2_1.TaskLog]
    custom_info: _struct_pb2.Struct
    plugin: str
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ..., recoverable: _Optional[bool] = ..., usage: _Optional[_Union[_observations_pb2.Usage, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., logs: _Optional[_Iterable[_Union[_execution_pb2_1.TaskLog, _Mapping]]] = ..., custom_info: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., plugin: _Optional[str] = ...) -> None: ...

class AttemptAborting(_message.Message):
    __slots__ = ("node_id", "attempt", "reason", "occurred_at", "timed_out", "error")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    timed_out: bool
    error: _execution_pb2_1.ExecutionError
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timed_out: _Optional[bool] = ..., error: _Optional[_Union[_execution_pb2_1.ExecutionError, _Mapping]] = ...) -> None: ...

class AttemptAborted(_message.Message):
    __slots__ = ("node_id", "attempt", "reason", "usage", "occurred_at", "logs", "abandoned")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    ABANDONED_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    reason: str
    usage: _observations_pb2.Usage
    occurred_at: _timestamp_pb2.Timestamp
    logs: _containers.RepeatedCompositeFieldContainer[_execution_pb2_1.TaskLog]
    abandoned: bool
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., reason: _Optional[str] = ..., usage: _Optional[_Union[_observations_pb2.Usage, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., logs: _Optional[_Iterable[_Union[_execution_pb2_1.TaskLog, _Mapping]]] = ..., abandoned: _Optional[bool] = ...) -> None: ...

class RetryScheduled(_message.Message):
    __slots__ = ("node_id", "attempt", "system_failures", "due", "occurred_at")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FAILURES_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    attempt: int
    system_failures: int
    due: _timestamp_pb2.Timestamp
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., system_failures: _Optional[int] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TimerSet(_message.Message):
    __slots__ = ("timer_id", "kind", "node_id", "attempt", "due")
    TIMER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    timer_id: str
    kind: TimerKind
    node_id: str
    attempt: int
    due: _timestamp_pb2.Timestamp
    def __init__(self, timer_id: _Optional[str] = ..., kind: _Optional[_Union[TimerKind, str]] = ..., node_id: _Optional[str] = ..., attempt: _Optional[int] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
