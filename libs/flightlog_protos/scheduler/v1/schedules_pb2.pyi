import datetime

from flyteidl.admin import launch_plan_pb2 as _launch_plan_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
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
    __slots__ = ("launch_plan", "spec", "policy", "occurred_at")
    LAUNCH_PLAN_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    launch_plan: _identifier_pb2.Identifier
    spec: _launch_plan_pb2.LaunchPlanSpec
    policy: SchedulePolicy
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, launch_plan: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., spec: _Optional[_Union[_launch_plan_pb2.LaunchPlanSpec, _Mapping]] = ..., policy: _Optional[_Union[SchedulePolicy, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ScheduleDeactivated(_message.Message):
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
