import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetArchiveRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetArchiveResponse(_message.Message):
    __slots__ = ("streams",)
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[ArchivedStream]
    def __init__(self, streams: _Optional[_Iterable[_Union[ArchivedStream, _Mapping]]] = ...) -> None: ...

class ArchivedStream(_message.Message):
    __slots__ = ("stream", "sequence", "head", "segments", "bytes", "recorded_at", "manifest", "manifest_sha256")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    stream: str
    sequence: int
    head: int
    segments: int
    bytes: int
    recorded_at: _timestamp_pb2.Timestamp
    manifest: str
    manifest_sha256: bytes
    def __init__(self, stream: _Optional[str] = ..., sequence: _Optional[int] = ..., head: _Optional[int] = ..., segments: _Optional[int] = ..., bytes: _Optional[int] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., manifest: _Optional[str] = ..., manifest_sha256: _Optional[bytes] = ...) -> None: ...
