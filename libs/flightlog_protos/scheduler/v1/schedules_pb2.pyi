import datetime

from flyteidl.admin import schedule_pb2 as _schedule_pb2
from flyteidl.core import execution_pb2 as _execution_pb2
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

class CatchUp(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CATCH_UP_UNSPECIFIED: _ClassVar[CatchUp]
    CATCH_UP_ALL: _ClassVar[CatchUp]
    CATCH_UP_LATEST: _ClassVar[CatchUp]
    CATCH_UP_NONE: _ClassVar[CatchUp]

class Overlap(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERLAP_UNSPECIFIED: _ClassVar[Overlap]
    OVERLAP_ALLOW: _ClassVar[Overlap]
    OVERLAP_SKIP: _ClassVar[Overlap]
    OVERLAP_WAIT: _ClassVar[Overlap]
    OVERLAP_REPLACE: _ClassVar[Overlap]
CATCH_UP_UNSPECIFIED: CatchUp
CATCH_UP_ALL: CatchUp
CATCH_UP_LATEST: CatchUp
CATCH_UP_NONE: CatchUp
OVERLAP_UNSPECIFIED: Overlap
OVERLAP_ALLOW: Overlap
OVERLAP_SKIP: Overlap
OVERLAP_WAIT: Overlap
OVERLAP_REPLACE: Overlap

class SchedulePolicy(_message.Message):
    __slots__ = ("catch_up", "overlap", "jitter", "time_zone")
    CATCH_UP_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    catch_up: CatchUp
    overlap: Overlap
    jitter: _duration_pb2.Duration
    time_zone: str
    def __init__(self, catch_up: _Optional[_Union[CatchUp, str]] = ..., overlap: _Optional[_Union[Overlap, str]] = ..., jitter: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., time_zone: _Optional[str] = ...) -> None: ...

class ScheduleActivated(_message.Message):
    __slots__ = ("launch_plan", "schedule", "policy", "occurred_at", "after", "registry_sequence")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    schedule: _schedule_pb2.Schedule
    policy: SchedulePolicy
    occurred_at: _timestamp_pb2.Timestamp
    after: _timestamp_pb2.Timestamp
    registry_sequence: int
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., schedule: _Optional[_Union[_schedule_pb2.Schedule, _Mapping]] = ..., policy: _Optional[_Union[SchedulePolicy, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., registry_sequence: _Optional[int] = ...) -> None: ...

class ScheduleRefused(_message.Message):
    __slots__ = ("launch_plan", "schedule", "reason", "occurred_at", "registry_sequence")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    schedule: _schedule_pb2.Schedule
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    registry_sequence: int
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., schedule: _Optional[_Union[_schedule_pb2.Schedule, _Mapping]] = ..., reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., registry_sequence: _Optional[int] = ...) -> None: ...

class ScheduleDeactivated(_message.Message):
    __slots__ = ("launch_plan", "occurred_at", "registry_sequence")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    occurred_at: _timestamp_pb2.Timestamp
    registry_sequence: int
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., registry_sequence: _Optional[int] = ...) -> None: ...

class ScheduleEnded(_message.Message):
    __slots__ = ("launch_plan", "occurred_at")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SchedulePaused(_message.Message):
    __slots__ = ("reason", "occurred_at")
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ScheduleResumed(_message.Message):
    __slots__ = ("occurred_at",)
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TickFired(_message.Message):
    __slots__ = ("launch_plan", "due", "execution_id", "occurred_at", "caught_up")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    due: _timestamp_pb2.Timestamp
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    caught_up: bool
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., caught_up: _Optional[bool] = ...) -> None: ...

class TickWaiting(_message.Message):
    __slots__ = ("launch_plan", "due", "occurred_at", "kickoff_input")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    KICKOFF_INPUT_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    due: _timestamp_pb2.Timestamp
    occurred_at: _timestamp_pb2.Timestamp
    kickoff_input: str
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kickoff_input: _Optional[str] = ...) -> None: ...

class TicksSkipped(_message.Message):
    __slots__ = ("launch_plan", "first", "last", "count", "reason", "occurred_at", "waited")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[TicksSkipped.Reason]
        MISSED: _ClassVar[TicksSkipped.Reason]
        OVERLAP: _ClassVar[TicksSkipped.Reason]
        REPLACED: _ClassVar[TicksSkipped.Reason]
        PAUSED: _ClassVar[TicksSkipped.Reason]
        DEACTIVATED: _ClassVar[TicksSkipped.Reason]
    REASON_UNSPECIFIED: TicksSkipped.Reason
    MISSED: TicksSkipped.Reason
    OVERLAP: TicksSkipped.Reason
    REPLACED: TicksSkipped.Reason
    PAUSED: TicksSkipped.Reason
    DEACTIVATED: TicksSkipped.Reason
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    first: _timestamp_pb2.Timestamp
    last: _timestamp_pb2.Timestamp
    count: int
    reason: TicksSkipped.Reason
    occurred_at: _timestamp_pb2.Timestamp
    waited: bool
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., first: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., count: _Optional[int] = ..., reason: _Optional[_Union[TicksSkipped.Reason, str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waited: _Optional[bool] = ...) -> None: ...

class TickRunEnded(_message.Message):
    __slots__ = ("launch_plan", "due", "execution_id", "phase", "occurred_at")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    due: _timestamp_pb2.Timestamp
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    phase: _execution_pb2.WorkflowExecution.Phase
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., phase: _Optional[_Union[_execution_pb2.WorkflowExecution.Phase, str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TickRunExisted(_message.Message):
    __slots__ = ("launch_plan", "due", "execution_id", "phase", "occurred_at")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    due: _timestamp_pb2.Timestamp
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    phase: _execution_pb2.WorkflowExecution.Phase
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., phase: _Optional[_Union[_execution_pb2.WorkflowExecution.Phase, str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TickRefused(_message.Message):
    __slots__ = ("launch_plan", "due", "execution_id", "code", "message", "occurred_at")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    due: _timestamp_pb2.Timestamp
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    code: str
    message: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TickRunStopping(_message.Message):
    __slots__ = ("launch_plan", "due", "execution_id", "occurred_at")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    due: _timestamp_pb2.Timestamp
    execution_id: _identifier_pb2.WorkflowExecutionIdentifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execution_id: _Optional[_Union[_identifier_pb2.WorkflowExecutionIdentifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TickSet(_message.Message):
    __slots__ = ("version", "due", "kickoff_input")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    KICKOFF_INPUT_FIELD_NUMBER: _ClassVar[int]
    version: str
    due: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    kickoff_input: str
    def __init__(self, version: _Optional[str] = ..., due: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ..., kickoff_input: _Optional[str] = ...) -> None: ...

class ScheduleSpan(_message.Message):
    __slots__ = ("launch_plan", "schedule", "policy", "since", "considered", "until")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    CONSIDERED_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    schedule: _schedule_pb2.Schedule
    policy: SchedulePolicy
    since: _timestamp_pb2.Timestamp
    considered: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., schedule: _Optional[_Union[_schedule_pb2.Schedule, _Mapping]] = ..., policy: _Optional[_Union[SchedulePolicy, _Mapping]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., considered: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ScheduleStands(_message.Message):
    __slots__ = ("spans", "considered", "running", "stopping", "waiting", "paused", "pause_reason", "registry_sequence", "last_due", "last_execution", "refused")
    SPANS_FIELD_NUMBER: _ClassVar[int]
    CONSIDERED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    PAUSE_REASON_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_DUE_FIELD_NUMBER: _ClassVar[int]
    LAST_EXECUTION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    spans: _containers.RepeatedCompositeFieldContainer[ScheduleSpan]
    considered: _timestamp_pb2.Timestamp
    running: _containers.RepeatedCompositeFieldContainer[TickSet]
    stopping: _containers.RepeatedCompositeFieldContainer[TickSet]
    waiting: _containers.RepeatedCompositeFieldContainer[TickSet]
    paused: bool
    pause_reason: str
    registry_sequence: int
    last_due: _timestamp_pb2.Timestamp
    last_execution: str
    refused: str
    def __init__(self, spans: _Optional[_Iterable[_Union[ScheduleSpan, _Mapping]]] = ..., considered: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., running: _Optional[_Iterable[_Union[TickSet, _Mapping]]] = ..., stopping: _Optional[_Iterable[_Union[TickSet, _Mapping]]] = ..., waiting: _Optional[_Iterable[_Union[TickSet, _Mapping]]] = ..., paused: _Optional[bool] = ..., pause_reason: _Optional[str] = ..., registry_sequence: _Optional[int] = ..., last_due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_execution: _Optional[str] = ..., refused: _Optional[str] = ...) -> None: ...
