from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VerifyChainRequest(_message.Message):
    __slots__ = ("streams", "subject", "archive")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedScalarFieldContainer[str]
    subject: str
    archive: bool
    def __init__(self, streams: _Optional[_Iterable[str]] = ..., subject: _Optional[str] = ..., archive: _Optional[bool] = ...) -> None: ...

class VerifyChainResponse(_message.Message):
    __slots__ = ("finding", "progress")
    class Progress(_message.Message):
        __slots__ = ("stream", "checked", "total", "stream_done", "done", "messages", "subjects", "archived", "trimmed")
        STREAM_FIELD_NUMBER: _ClassVar[int]
        CHECKED_FIELD_NUMBER: _ClassVar[int]
        TOTAL_FIELD_NUMBER: _ClassVar[int]
        STREAM_DONE_FIELD_NUMBER: _ClassVar[int]
        DONE_FIELD_NUMBER: _ClassVar[int]
        MESSAGES_FIELD_NUMBER: _ClassVar[int]
        SUBJECTS_FIELD_NUMBER: _ClassVar[int]
        ARCHIVED_FIELD_NUMBER: _ClassVar[int]
        TRIMMED_FIELD_NUMBER: _ClassVar[int]
        stream: str
        checked: int
        total: int
        stream_done: bool
        done: bool
        messages: int
        subjects: int
        archived: int
        trimmed: int
        def __init__(self, stream: _Optional[str] = ..., checked: _Optional[int] = ..., total: _Optional[int] = ..., stream_done: _Optional[bool] = ..., done: _Optional[bool] = ..., messages: _Optional[int] = ..., subjects: _Optional[int] = ..., archived: _Optional[int] = ..., trimmed: _Optional[int] = ...) -> None: ...
    FINDING_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    finding: Finding
    progress: VerifyChainResponse.Progress
    def __init__(self, finding: _Optional[_Union[Finding, _Mapping]] = ..., progress: _Optional[_Union[VerifyChainResponse.Progress, _Mapping]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("kind", "stream", "subject", "sequence", "position", "uri", "message", "repair")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    kind: str
    stream: str
    subject: str
    sequence: int
    position: int
    uri: str
    message: str
    repair: str
    def __init__(self, kind: _Optional[str] = ..., stream: _Optional[str] = ..., subject: _Optional[str] = ..., sequence: _Optional[int] = ..., position: _Optional[int] = ..., uri: _Optional[str] = ..., message: _Optional[str] = ..., repair: _Optional[str] = ...) -> None: ...
