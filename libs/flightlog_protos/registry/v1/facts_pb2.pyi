import datetime

from flightlog_protos.log.v1 import envelope_pb2 as _envelope_pb2
from flyteidl.admin import common_pb2 as _common_pb2
from flyteidl.admin import description_entity_pb2 as _description_entity_pb2
from flyteidl.admin import launch_plan_pb2 as _launch_plan_pb2
from flyteidl.admin import matchable_resource_pb2 as _matchable_resource_pb2
from flyteidl.admin import project_pb2 as _project_pb2
from flyteidl.core import compiler_pb2 as _compiler_pb2
from flyteidl.core import identifier_pb2 as _identifier_pb2
from flyteidl.core import interface_pb2 as _interface_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProjectRegistered(_message.Message):
    __slots__ = ("project", "created_at")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    project: _project_pb2.Project
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[_Union[_project_pb2.Project, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProjectUpdated(_message.Message):
    __slots__ = ("project", "updated_at")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    project: _project_pb2.Project
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[_Union[_project_pb2.Project, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AttributesUpdated(_message.Message):
    __slots__ = ("project", "domain", "workflow", "resource_type", "attributes", "occurred_at")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    workflow: str
    resource_type: _matchable_resource_pb2.MatchableResource
    attributes: _matchable_resource_pb2.MatchingAttributes
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., workflow: _Optional[str] = ..., resource_type: _Optional[_Union[_matchable_resource_pb2.MatchableResource, str]] = ..., attributes: _Optional[_Union[_matchable_resource_pb2.MatchingAttributes, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AttributesDeleted(_message.Message):
    __slots__ = ("project", "domain", "workflow", "resource_type", "occurred_at")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    workflow: str
    resource_type: _matchable_resource_pb2.MatchableResource
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., workflow: _Optional[str] = ..., resource_type: _Optional[_Union[_matchable_resource_pb2.MatchableResource, str]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class KeyDestroyed(_message.Message):
    __slots__ = ("project", "key_ids", "reason", "occurred_at")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    project: str
    key_ids: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[str] = ..., key_ids: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskRegistered(_message.Message):
    __slots__ = ("id", "compiled_task", "digest", "description", "created_at", "generated_closure")
    ID_FIELD_NUMBER: _ClassVar[int]
    COMPILED_TASK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    GENERATED_CLOSURE_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.Identifier
    compiled_task: _compiler_pb2.CompiledTask
    digest: bytes
    description: _description_entity_pb2.DescriptionEntity
    created_at: _timestamp_pb2.Timestamp
    generated_closure: _envelope_pb2.DataRef
    def __init__(self, id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., compiled_task: _Optional[_Union[_compiler_pb2.CompiledTask, _Mapping]] = ..., digest: _Optional[bytes] = ..., description: _Optional[_Union[_description_entity_pb2.DescriptionEntity, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generated_closure: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ...) -> None: ...

class WorkflowRegistered(_message.Message):
    __slots__ = ("id", "closure", "interface", "digest", "description", "created_at", "system_generated")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_GENERATED_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.Identifier
    closure: _envelope_pb2.DataRef
    interface: _interface_pb2.TypedInterface
    digest: bytes
    description: _description_entity_pb2.DescriptionEntity
    created_at: _timestamp_pb2.Timestamp
    system_generated: bool
    def __init__(self, id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., closure: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., interface: _Optional[_Union[_interface_pb2.TypedInterface, _Mapping]] = ..., digest: _Optional[bytes] = ..., description: _Optional[_Union[_description_entity_pb2.DescriptionEntity, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., system_generated: _Optional[bool] = ...) -> None: ...

class LaunchPlanRegistered(_message.Message):
    __slots__ = ("id", "spec", "expected_inputs", "expected_outputs", "closure", "digest", "created_at", "system_generated")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INPUTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    CLOSURE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_GENERATED_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.Identifier
    spec: _launch_plan_pb2.LaunchPlanSpec
    expected_inputs: _interface_pb2.ParameterMap
    expected_outputs: _interface_pb2.VariableMap
    closure: _envelope_pb2.DataRef
    digest: bytes
    created_at: _timestamp_pb2.Timestamp
    system_generated: bool
    def __init__(self, id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., spec: _Optional[_Union[_launch_plan_pb2.LaunchPlanSpec, _Mapping]] = ..., expected_inputs: _Optional[_Union[_interface_pb2.ParameterMap, _Mapping]] = ..., expected_outputs: _Optional[_Union[_interface_pb2.VariableMap, _Mapping]] = ..., closure: _Optional[_Union[_envelope_pb2.DataRef, _Mapping]] = ..., digest: _Optional[bytes] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., system_generated: _Optional[bool] = ...) -> None: ...

class LaunchPlanActivated(_message.Message):
    __slots__ = ("id", "occurred_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.Identifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LaunchPlanDeactivated(_message.Message):
    __slots__ = ("id", "occurred_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    id: _identifier_pb2.Identifier
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NamedEntityUpdated(_message.Message):
    __slots__ = ("resource_type", "id", "metadata", "occurred_at")
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    resource_type: _identifier_pb2.ResourceType
    id: _common_pb2.NamedEntityIdentifier
    metadata: _common_pb2.NamedEntityMetadata
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, resource_type: _Optional[_Union[_identifier_pb2.ResourceType, str]] = ..., id: _Optional[_Union[_common_pb2.NamedEntityIdentifier, _Mapping]] = ..., metadata: _Optional[_Union[_common_pb2.NamedEntityMetadata, _Mapping]] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
