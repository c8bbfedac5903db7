import datetime

from flightlog_protos.catalog.v1 import cache_pb2 as _cache_pb2
from flyteidl.core import catalog_pb2 as _catalog_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from flyteidl.core import literals_pb2 as _literals_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CacheSelection(_message.Message):
    __slots__ = ("project", "domain", "name", "cache_version", "task_version", "execution", "tag", "artifact_id", "pinned", "before")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CACHE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    name: str
    cache_version: str
    task_version: str
    execution: str
    tag: str
    artifact_id: str
    pinned: bool
    before: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., name: _Optional[str] = ..., cache_version: _Optional[str] = ..., task_version: _Optional[str] = ..., execution: _Optional[str] = ..., tag: _Optional[str] = ..., artifact_id: _Optional[str] = ..., pinned: _Optional[bool] = ..., before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CachedEntry(_message.Message):
    __slots__ = ("key", "result", "cache_version", "cached_at", "uses", "last_used_at", "pinned", "reserved_by")
    KEY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CACHE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CACHED_AT_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_AT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BY_FIELD_NUMBER: _ClassVar[int]
    key: _cache_pb2.CacheKey
    result: _cache_pb2.CachedResult
    cache_version: str
    cached_at: _timestamp_pb2.Timestamp
    uses: int
    last_used_at: _timestamp_pb2.Timestamp
    pinned: bool
    reserved_by: str
    def __init__(self, key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., result: _Optional[_Union[_cache_pb2.CachedResult, _Mapping]] = ..., cache_version: _Optional[str] = ..., cached_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., uses: _Optional[int] = ..., last_used_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pinned: _Optional[bool] = ..., reserved_by: _Optional[str] = ...) -> None: ...

class ListCachedRequest(_message.Message):
    __slots__ = ("selection", "limit", "token")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    selection: CacheSelection
    limit: int
    token: str
    def __init__(self, selection: _Optional[_Union[CacheSelection, _Mapping]] = ..., limit: _Optional[int] = ..., token: _Optional[str] = ...) -> None: ...

class ListCachedResponse(_message.Message):
    __slots__ = ("entries", "token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[CachedEntry]
    token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[CachedEntry, _Mapping]]] = ..., token: _Optional[str] = ...) -> None: ...

class GetCachedRequest(_message.Message):
    __slots__ = ("artifact_id", "key")
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    artifact_id: str
    key: _cache_pb2.CacheKey
    def __init__(self, artifact_id: _Optional[str] = ..., key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ...) -> None: ...

class CacheEvent(_message.Message):
    __slots__ = ("occurred_at", "what", "actor", "reason", "subject")
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    occurred_at: _timestamp_pb2.Timestamp
    what: str
    actor: str
    reason: str
    subject: str
    def __init__(self, occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., what: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class GetCachedResponse(_message.Message):
    __slots__ = ("entry", "outputs", "inputs", "history", "users")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    entry: CachedEntry
    outputs: _literals_pb2.LiteralMap
    inputs: _literals_pb2.LiteralMap
    history: _containers.RepeatedCompositeFieldContainer[CacheEvent]
    users: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.NodeExecutionIdentifier]
    def __init__(self, entry: _Optional[_Union[CachedEntry, _Mapping]] = ..., outputs: _Optional[_Union[_literals_pb2.LiteralMap, _Mapping]] = ..., inputs: _Optional[_Union[_literals_pb2.LiteralMap, _Mapping]] = ..., history: _Optional[_Iterable[_Union[CacheEvent, _Mapping]]] = ..., users: _Optional[_Iterable[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]]] = ...) -> None: ...

class ExplainNodeRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ...) -> None: ...

class KeyDifference(_message.Message):
    __slots__ = ("part", "wanted", "found")
    PART_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    part: str
    wanted: str
    found: str
    def __init__(self, part: _Optional[str] = ..., wanted: _Optional[str] = ..., found: _Optional[str] = ...) -> None: ...

class ExplainNodeResponse(_message.Message):
    __slots__ = ("key", "status", "reason", "nearest", "differences")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    key: _cache_pb2.CacheKey
    status: _catalog_pb2.CatalogCacheStatus
    reason: str
    nearest: CachedEntry
    differences: _containers.RepeatedCompositeFieldContainer[KeyDifference]
    def __init__(self, key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., status: _Optional[_Union[_catalog_pb2.CatalogCacheStatus, str]] = ..., reason: _Optional[str] = ..., nearest: _Optional[_Union[CachedEntry, _Mapping]] = ..., differences: _Optional[_Iterable[_Union[KeyDifference, _Mapping]]] = ...) -> None: ...

class EvictRequest(_message.Message):
    __slots__ = ("selection", "reason", "dry_run", "pinned_too")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    PINNED_TOO_FIELD_NUMBER: _ClassVar[int]
    selection: CacheSelection
    reason: str
    dry_run: bool
    pinned_too: bool
    def __init__(self, selection: _Optional[_Union[CacheSelection, _Mapping]] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ..., pinned_too: _Optional[bool] = ...) -> None: ...

class EvictResponse(_message.Message):
    __slots__ = ("evicted", "kept")
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    evicted: _containers.RepeatedCompositeFieldContainer[CachedEntry]
    kept: _containers.RepeatedCompositeFieldContainer[CachedEntry]
    def __init__(self, evicted: _Optional[_Iterable[_Union[CachedEntry, _Mapping]]] = ..., kept: _Optional[_Iterable[_Union[CachedEntry, _Mapping]]] = ...) -> None: ...

class PinRequest(_message.Message):
    __slots__ = ("selection", "reason", "unpin")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNPIN_FIELD_NUMBER: _ClassVar[int]
    selection: CacheSelection
    reason: str
    unpin: bool
    def __init__(self, selection: _Optional[_Union[CacheSelection, _Mapping]] = ..., reason: _Optional[str] = ..., unpin: _Optional[bool] = ...) -> None: ...

class PinResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[CachedEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[CachedEntry, _Mapping]]] = ...) -> None: ...
