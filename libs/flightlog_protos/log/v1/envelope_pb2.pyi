import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    __slots__ = ("event_id", "schema_version", "subject", "position", "occurred_at", "recorded_at", "actor", "correlation_id", "causation_id", "traceparent", "previous_hash", "facts", "offloaded", "sealed")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_HASH_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    OFFLOADED_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    schema_version: int
    subject: str
    position: int
    occurred_at: _timestamp_pb2.Timestamp
    recorded_at: _timestamp_pb2.Timestamp
    actor: Actor
    correlation_id: str
    causation_id: str
    traceparent: str
    previous_hash: bytes
    facts: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    offloaded: OffloadedFacts
    sealed: Sealed
    def __init__(self, event_id: _Optional[str] = ..., schema_version: _Optional[int] = ..., subject: _Optional[str] = ..., position: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[_Union[Actor, _Mapping]] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., traceparent: _Optional[str] = ..., previous_hash: _Optional[bytes] = ..., facts: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., offloaded: _Optional[_Union[OffloadedFacts, _Mapping]] = ..., sealed: _Optional[_Union[Sealed, _Mapping]] = ...) -> None: ...

class Sealed(_message.Message):
    __slots__ = ("project", "key_id", "nonce", "ciphertext")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    project: str
    key_id: str
    nonce: bytes
    ciphertext: bytes
    def __init__(self, project: _Optional[str] = ..., key_id: _Optional[str] = ..., nonce: _Optional[bytes] = ..., ciphertext: _Optional[bytes] = ...) -> None: ...

class PersonalData(_message.Message):
    __slots__ = ("actor", "facts")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    actor: Actor
    facts: _containers.RepeatedCompositeFieldContainer[PersonalFields]
    def __init__(self, actor: _Optional[_Union[Actor, _Mapping]] = ..., facts: _Optional[_Iterable[_Union[PersonalFields, _Mapping]]] = ...) -> None: ...

class PersonalFields(_message.Message):
    __slots__ = ("fact", "value")
    FACT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    fact: int
    value: bytes
    def __init__(self, fact: _Optional[int] = ..., value: _Optional[bytes] = ...) -> None: ...

class DataKey(_message.Message):
    __slots__ = ("key", "nonce", "master_key_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    MASTER_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    nonce: bytes
    master_key_id: bytes
    def __init__(self, key: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., master_key_id: _Optional[bytes] = ...) -> None: ...

class Actor(_message.Message):
    __slots__ = ("subject", "method", "client", "address", "verified")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    subject: str
    method: str
    client: str
    address: str
    verified: bool
    def __init__(self, subject: _Optional[str] = ..., method: _Optional[str] = ..., client: _Optional[str] = ..., address: _Optional[str] = ..., verified: _Optional[bool] = ...) -> None: ...

class OffloadedFacts(_message.Message):
    __slots__ = ("uri", "sha256", "size_bytes", "count")
    URI_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    uri: str
    sha256: bytes
    size_bytes: int
    count: int
    def __init__(self, uri: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class FactList(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, facts: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class DataRef(_message.Message):
    __slots__ = ("uri", "sha256", "size_bytes")
    URI_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    uri: str
    sha256: bytes
    size_bytes: int
    def __init__(self, uri: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Parked(_message.Message):
    __slots__ = ("stream", "subject", "sequence", "consumer", "reason", "deliveries", "parked_at", "message")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    PARKED_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    stream: str
    subject: str
    sequence: int
    consumer: str
    reason: str
    deliveries: int
    parked_at: _timestamp_pb2.Timestamp
    message: bytes
    def __init__(self, stream: _Optional[str] = ..., subject: _Optional[str] = ..., sequence: _Optional[int] = ..., consumer: _Optional[str] = ..., reason: _Optional[str] = ..., deliveries: _Optional[int] = ..., parked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[bytes] = ...) -> None: ...
