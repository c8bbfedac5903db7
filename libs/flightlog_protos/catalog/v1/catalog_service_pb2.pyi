import datetime

from flightlog_protos.catalog.v1 import cache_pb2 as _cache_pb2
from flyteidl.core import catalog_pb2 as _catalog_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from flyteidl.core import literals_pb2 as _literals_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CacheSelection(_message.Message):
    __slots__ = ("project", "domain", "name", "cache_version", "task_version", "execution", "tag", "artifact_id", "pinned", "before", "unused_since", "dataset_version", "artifact_ids")
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
    UNUSED_SINCE_FIELD_NUMBER: _ClassVar[int]
    DATASET_VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_IDS_FIELD_NUMBER: _ClassVar[int]
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
    unused_since: _timestamp_pb2.Timestamp
    dataset_version: str
    artifact_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., name: _Optional[str] = ..., cache_version: _Optional[str] = ..., task_version: _Optional[str] = ..., execution: _Optional[str] = ..., tag: _Optional[str] = ..., artifact_id: _Optional[str] = ..., pinned: _Optional[bool] = ..., before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unused_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dataset_version: _Optional[str] = ..., artifact_ids: _Optional[_Iterable[str]] = ...) -> None: ...

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

class NodeOrElement(_message.Message):
    __slots__ = ("node", "element")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    element: int
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., element: _Optional[int] = ...) -> None: ...

class GetCachedRequest(_message.Message):
    __slots__ = ("artifact_id", "key", "tag", "node")
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    artifact_id: str
    key: _cache_pb2.CacheKey
    tag: str
    node: NodeOrElement
    def __init__(self, artifact_id: _Optional[str] = ..., key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., tag: _Optional[str] = ..., node: _Optional[_Union[NodeOrElement, _Mapping]] = ...) -> None: ...

class CacheEvent(_message.Message):
    __slots__ = ("occurred_at", "what", "actor", "reason", "subject", "artifact_id")
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    occurred_at: _timestamp_pb2.Timestamp
    what: str
    actor: str
    reason: str
    subject: str
    artifact_id: str
    def __init__(self, occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., what: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., subject: _Optional[str] = ..., artifact_id: _Optional[str] = ...) -> None: ...

class CacheUser(_message.Message):
    __slots__ = ("node", "used_at")
    NODE_FIELD_NUMBER: _ClassVar[int]
    USED_AT_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    used_at: _timestamp_pb2.Timestamp
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., used_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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
    users: _containers.RepeatedCompositeFieldContainer[CacheUser]
    def __init__(self, entry: _Optional[_Union[CachedEntry, _Mapping]] = ..., outputs: _Optional[_Union[_literals_pb2.LiteralMap, _Mapping]] = ..., inputs: _Optional[_Union[_literals_pb2.LiteralMap, _Mapping]] = ..., history: _Optional[_Iterable[_Union[CacheEvent, _Mapping]]] = ..., users: _Optional[_Iterable[_Union[CacheUser, _Mapping]]] = ...) -> None: ...

class ExplainNodeRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: NodeOrElement
    def __init__(self, node: _Optional[_Union[NodeOrElement, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("node", "outcome", "reason", "status", "key", "nearest", "differences")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ExplainNodeResponse.Outcome]
        HIT: _ClassVar[ExplainNodeResponse.Outcome]
        NOTHING_CACHED: _ClassVar[ExplainNodeResponse.Outcome]
        OTHER_KEY: _ClassVar[ExplainNodeResponse.Outcome]
        EVICTED: _ClassVar[ExplainNodeResponse.Outcome]
        TOO_OLD: _ClassVar[ExplainNodeResponse.Outcome]
        OUTPUTS_LOST: _ClassVar[ExplainNodeResponse.Outcome]
        MADE_MEANWHILE: _ClassVar[ExplainNodeResponse.Outcome]
        OVERWRITES: _ClassVar[ExplainNodeResponse.Outcome]
        NOT_CACHED: _ClassVar[ExplainNodeResponse.Outcome]
        RECOVERED: _ClassVar[ExplainNodeResponse.Outcome]
        UNANSWERED: _ClassVar[ExplainNodeResponse.Outcome]
        AWAITS_ANOTHER: _ClassVar[ExplainNodeResponse.Outcome]
    OUTCOME_UNSPECIFIED: ExplainNodeResponse.Outcome
    HIT: ExplainNodeResponse.Outcome
    NOTHING_CACHED: ExplainNodeResponse.Outcome
    OTHER_KEY: ExplainNodeResponse.Outcome
    EVICTED: ExplainNodeResponse.Outcome
    TOO_OLD: ExplainNodeResponse.Outcome
    OUTPUTS_LOST: ExplainNodeResponse.Outcome
    MADE_MEANWHILE: ExplainNodeResponse.Outcome
    OVERWRITES: ExplainNodeResponse.Outcome
    NOT_CACHED: ExplainNodeResponse.Outcome
    RECOVERED: ExplainNodeResponse.Outcome
    UNANSWERED: ExplainNodeResponse.Outcome
    AWAITS_ANOTHER: ExplainNodeResponse.Outcome
    NODE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    outcome: ExplainNodeResponse.Outcome
    reason: str
    status: _catalog_pb2.CatalogCacheStatus
    key: _cache_pb2.CacheKey
    nearest: CachedEntry
    differences: _containers.RepeatedCompositeFieldContainer[KeyDifference]
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., outcome: _Optional[_Union[ExplainNodeResponse.Outcome, str]] = ..., reason: _Optional[str] = ..., status: _Optional[_Union[_catalog_pb2.CatalogCacheStatus, str]] = ..., key: _Optional[_Union[_cache_pb2.CacheKey, _Mapping]] = ..., nearest: _Optional[_Union[CachedEntry, _Mapping]] = ..., differences: _Optional[_Iterable[_Union[KeyDifference, _Mapping]]] = ...) -> None: ...

class EvictRequest(_message.Message):
    __slots__ = ("selection", "reason", "dry_run", "pinned_too", "limit", "token")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    PINNED_TOO_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    selection: CacheSelection
    reason: str
    dry_run: bool
    pinned_too: bool
    limit: int
    token: str
    def __init__(self, selection: _Optional[_Union[CacheSelection, _Mapping]] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ..., pinned_too: _Optional[bool] = ..., limit: _Optional[int] = ..., token: _Optional[str] = ...) -> None: ...

class EvictResponse(_message.Message):
    __slots__ = ("evicted", "kept", "token")
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    evicted: _containers.RepeatedCompositeFieldContainer[CachedEntry]
    kept: _containers.RepeatedCompositeFieldContainer[CachedEntry]
    token: str
    def __init__(self, evicted: _Optional[_Iterable[_Union[CachedEntry, _Mapping]]] = ..., kept: _Optional[_Iterable[_Union[CachedEntry, _Mapping]]] = ..., token: _Optional[str] = ...) -> None: ...

class PinRequest(_message.Message):
    __slots__ = ("selection", "reason", "unpin", "limit", "token")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNPIN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    selection: CacheSelection
    reason: str
    unpin: bool
    limit: int
    token: str
    def __init__(self, selection: _Optional[_Union[CacheSelection, _Mapping]] = ..., reason: _Optional[str] = ..., unpin: _Optional[bool] = ..., limit: _Optional[int] = ..., token: _Optional[str] = ...) -> None: ...

class PinResponse(_message.Message):
    __slots__ = ("entries", "token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[CachedEntry]
    token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[CachedEntry, _Mapping]]] = ..., token: _Optional[str] = ...) -> None: ...
