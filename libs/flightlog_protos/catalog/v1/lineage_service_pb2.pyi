import datetime

from flyteidl.core import identifier_pb2 as _identifier_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArtifactReference(_message.Message):
    __slots__ = ("node", "side", "variable", "uri")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    node: _identifier_pb2.NodeExecutionIdentifier
    side: str
    variable: str
    uri: str
    def __init__(self, node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., side: _Optional[str] = ..., variable: _Optional[str] = ..., uri: _Optional[str] = ...) -> None: ...

class GetLineageRequest(_message.Message):
    __slots__ = ("artifact", "direction", "depth")
    class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BOTH: _ClassVar[GetLineageRequest.Direction]
        BACKWARD: _ClassVar[GetLineageRequest.Direction]
        FORWARD: _ClassVar[GetLineageRequest.Direction]
    BOTH: GetLineageRequest.Direction
    BACKWARD: GetLineageRequest.Direction
    FORWARD: GetLineageRequest.Direction
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    artifact: ArtifactReference
    direction: GetLineageRequest.Direction
    depth: int
    def __init__(self, artifact: _Optional[_Union[ArtifactReference, _Mapping]] = ..., direction: _Optional[_Union[GetLineageRequest.Direction, str]] = ..., depth: _Optional[int] = ...) -> None: ...

class LineageGraph(_message.Message):
    __slots__ = ("artifacts", "steps", "edges", "truncated")
    class Artifact(_message.Message):
        __slots__ = ("id", "reference", "kind", "shown", "uri", "asked")
        ID_FIELD_NUMBER: _ClassVar[int]
        REFERENCE_FIELD_NUMBER: _ClassVar[int]
        KIND_FIELD_NUMBER: _ClassVar[int]
        SHOWN_FIELD_NUMBER: _ClassVar[int]
        URI_FIELD_NUMBER: _ClassVar[int]
        ASKED_FIELD_NUMBER: _ClassVar[int]
        id: str
        reference: ArtifactReference
        kind: str
        shown: str
        uri: str
        asked: bool
        def __init__(self, id: _Optional[str] = ..., reference: _Optional[_Union[ArtifactReference, _Mapping]] = ..., kind: _Optional[str] = ..., shown: _Optional[str] = ..., uri: _Optional[str] = ..., asked: _Optional[bool] = ...) -> None: ...
    class Step(_message.Message):
        __slots__ = ("id", "node", "entity", "how", "ended_at", "phase", "elements")
        ID_FIELD_NUMBER: _ClassVar[int]
        NODE_FIELD_NUMBER: _ClassVar[int]
        ENTITY_FIELD_NUMBER: _ClassVar[int]
        HOW_FIELD_NUMBER: _ClassVar[int]
        ENDED_AT_FIELD_NUMBER: _ClassVar[int]
        PHASE_FIELD_NUMBER: _ClassVar[int]
        ELEMENTS_FIELD_NUMBER: _ClassVar[int]
        id: str
        node: _identifier_pb2.NodeExecutionIdentifier
        entity: _identifier_pb2.Identifier
        how: str
        ended_at: _timestamp_pb2.Timestamp
        phase: str
        elements: int
        def __init__(self, id: _Optional[str] = ..., node: _Optional[_Union[_identifier_pb2.NodeExecutionIdentifier, _Mapping]] = ..., entity: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., how: _Optional[str] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., phase: _Optional[str] = ..., elements: _Optional[int] = ...) -> None: ...
    class Edge(_message.Message):
        __slots__ = ("to", "variable")
        FROM_FIELD_NUMBER: _ClassVar[int]
        TO_FIELD_NUMBER: _ClassVar[int]
        VARIABLE_FIELD_NUMBER: _ClassVar[int]
        to: str
        variable: str
        def __init__(self, to: _Optional[str] = ..., variable: _Optional[str] = ..., **kwargs) -> None: ...
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    artifacts: _containers.RepeatedCompositeFieldContainer[LineageGraph.Artifact]
    steps: _containers.RepeatedCompositeFieldContainer[LineageGraph.Step]
    edges: _containers.RepeatedCompositeFieldContainer[LineageGraph.Edge]
    truncated: bool
    def __init__(self, artifacts: _Optional[_Iterable[_Union[LineageGraph.Artifact, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[LineageGraph.Step, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[LineageGraph.Edge, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...
