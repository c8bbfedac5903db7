"""From facts to rows.

Versions are only ever inserted; projects, names and the state of launch plans are overwritten by what comes later,
guarded by the sequence, so that a record applied twice changes nothing.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flyteidl.admin import (
    description_entity_pb2,
    launch_plan_pb2,
    matchable_resource_pb2,
    task_pb2,
    workflow_pb2,
)
from flyteidl.core import compiler_pb2, identifier_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_log import Recorded
from flightlog_protos.registry.v1 import facts_pb2
from flightlog_read import Connection
from flightlog_types.matchable import Place
from services.registry.projection.ddl import DDL

Row = tuple[Any, ...]

_STATEMENTS = {
    "tasks": """
        INSERT INTO tasks (id, project, domain, name, version, type, digest, short_description, created_at, message)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING""",
    "workflows": """
        INSERT INTO workflows (
            id, project, domain, name, version, digest, closure_uri, short_description, created_at, message)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING""",
    "launch_plans": """
        INSERT INTO launch_plans (
            id, project, domain, name, version, digest, state, schedule_type,
            workflow_project, workflow_domain, workflow_name, workflow_version,
            created_at, updated_at, sequence, message)
        VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10, $11, $12, $12, $1, $13) ON CONFLICT DO NOTHING""",
    "description_entities": """
        INSERT INTO description_entities (
            id, resource_type, project, domain, name, version,
            short_description, long_description, link, created_at, message)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING""",
    "names": """
        INSERT INTO named_entities (id, resource_type, project, domain, name, description, state, sequence)
        VALUES ($1, $2, $3, $4, $5, '', 0, $1) ON CONFLICT DO NOTHING""",
    "projects": """
        INSERT INTO projects (
            id, identifier, name, description, labels, state, created_at, updated_at, sequence, message)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $1, $8)
        ON CONFLICT (identifier) DO UPDATE SET
            name = excluded.name, description = excluded.description, labels = excluded.labels, state = excluded.state,
            updated_at = excluded.updated_at, sequence = excluded.sequence, message = excluded.message
        WHERE projects.sequence < excluded.sequence""",
    "attributes": """
        INSERT INTO attributes (id, resource_type, project, domain, workflow, priority, sequence, message)
        VALUES ($1, $2, $3, $4, $5, $6, $1, $7)
        ON CONFLICT (resource_type, project, domain, workflow) DO UPDATE SET
            sequence = excluded.sequence, message = excluded.message
        WHERE attributes.sequence < excluded.sequence""",
    "states": """
        UPDATE launch_plans SET state = $2, updated_at = $3, sequence = $1
        WHERE project = $4 AND domain = $5 AND name = $6 AND version = $7 AND sequence < $1""",
    "metadata": """
        UPDATE named_entities SET description = $2, state = $3, sequence = $1
        WHERE resource_type = $4 AND project = $5 AND domain = $6 AND name = $7 AND sequence < $1""",
}
"""In the order in which they run: rows are there before something changes them."""


class RegistryProjection:
    """The read model of everything registered."""

    name = "registry"
    stream = "REGISTRY"
    version = 2

    def ddl(self) -> str:
        """CREATE statements."""
        return DDL

    async def apply(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        """Writes a batch with one round trip for each table that it touches."""
        rows: defaultdict[str, list[Row]] = defaultdict(list)
        for record in batch:
            for table, row in rows_of(record):
                rows[table].append(row)
        for table, statement in _STATEMENTS.items():
            if rows[table]:
                await connection.executemany(statement, rows[table])


def rows_of(record: Recorded) -> Iterator[tuple[str, Row]]:
    """What an envelope says of the tables: name of a statement, and its arguments."""
    for fact in record.facts:
        write = _ROWS.get(type(fact))
        if write is not None:
            yield from write(fact, record.sequence)


def text(value: str) -> str:
    """Text as Postgres can hold it."""
    return value.replace("\0", "")


def moment(stamp: Timestamp) -> datetime:
    """A fact's time as a row's."""
    return stamp.ToDatetime(UTC)


def _key(identifier: identifier_pb2.Identifier) -> tuple[str, str, str, str]:
    return identifier.project, identifier.domain, identifier.name, identifier.version


def _task(fact: facts_pb2.TaskRegistered, sequence: int) -> list[tuple[str, Row]]:
    message = task_message(fact)
    row = (
        sequence,
        *_key(fact.id),
        text(fact.compiled_task.template.type),
        fact.digest,
        text(message.short_description),
        moment(fact.created_at),
        message.SerializeToString(deterministic=True),
    )
    return [("tasks", row), *_name(fact.id, identifier_pb2.TASK, sequence), *_description(fact, sequence)]


def _workflow(fact: facts_pb2.WorkflowRegistered, sequence: int) -> list[tuple[str, Row]]:
    message = listed_workflow(fact)
    row = (
        sequence,
        *_key(fact.id),
        fact.digest,
        fact.closure.uri,
        text(message.short_description),
        moment(fact.created_at),
        message.SerializeToString(deterministic=True),
    )
    return [("workflows", row), *_name(fact.id, identifier_pb2.WORKFLOW, sequence), *_description(fact, sequence)]


def _launch_plan(fact: facts_pb2.LaunchPlanRegistered, sequence: int) -> list[tuple[str, Row]]:
    message = launch_plan_pb2.LaunchPlan(
        id=fact.id,
        spec=fact.spec,
        closure=launch_plan_pb2.LaunchPlanClosure(
            expected_inputs=fact.expected_inputs, expected_outputs=fact.expected_outputs, created_at=fact.created_at
        ),
    )
    row = (
        sequence,
        *_key(fact.id),
        fact.digest,
        _schedule_type(fact.spec),
        *_key(fact.spec.workflow_id),
        moment(fact.created_at),
        message.SerializeToString(deterministic=True),
    )
    return [("launch_plans", row), *_name(fact.id, identifier_pb2.LAUNCH_PLAN, sequence)]


def _schedule_type(spec: launch_plan_pb2.LaunchPlanSpec) -> str:
    match spec.entity_metadata.schedule.WhichOneof("ScheduleExpression"):
        case "rate":
            return "RATE"
        case "cron_schedule" | "cron_expression":
            return "CRON"
        case _:
            return "NONE"


def _activated(fact: facts_pb2.LaunchPlanActivated, sequence: int) -> list[tuple[str, Row]]:
    return [("states", (sequence, launch_plan_pb2.ACTIVE, moment(fact.occurred_at), *_key(fact.id)))]


def _deactivated(fact: facts_pb2.LaunchPlanDeactivated, sequence: int) -> list[tuple[str, Row]]:
    return [("states", (sequence, launch_plan_pb2.INACTIVE, moment(fact.occurred_at), *_key(fact.id)))]


def _project(fact: facts_pb2.ProjectRegistered | facts_pb2.ProjectUpdated, sequence: int) -> list[tuple[str, Row]]:
    project = fact.project
    changed = fact.created_at if isinstance(fact, facts_pb2.ProjectRegistered) else fact.updated_at
    labels = json.dumps(dict(sorted(project.labels.values.items())), ensure_ascii=False)
    row = (
        sequence,
        project.id,
        text(project.name),
        text(project.description),
        text(labels),
        project.state,
        moment(changed),
        project.SerializeToString(deterministic=True),
    )
    return [("projects", row)]


def _metadata(fact: facts_pb2.NamedEntityUpdated, sequence: int) -> list[tuple[str, Row]]:
    key = (fact.resource_type, fact.id.project, fact.id.domain, fact.id.name)
    return [("metadata", (sequence, text(fact.metadata.description), fact.metadata.state, *key))]


def _name(identifier: identifier_pb2.Identifier, resource_type: int, sequence: int) -> list[tuple[str, Row]]:
    return [("names", (sequence, resource_type, identifier.project, identifier.domain, identifier.name))]


def _description(fact: facts_pb2.TaskRegistered | facts_pb2.WorkflowRegistered, sequence: int) -> list[tuple[str, Row]]:
    if not fact.HasField("description"):
        return []
    message = description_message(fact)
    row = (
        sequence,
        message.id.resource_type,
        *_key(message.id),
        text(message.short_description),
        text(message.long_description.value or message.long_description.uri),
        text(message.source_code.link),
        moment(fact.created_at),
        message.SerializeToString(deterministic=True),
    )
    return [("description_entities", row)]


def _attributes(
    fact: facts_pb2.AttributesUpdated | facts_pb2.AttributesDeleted, sequence: int
) -> list[tuple[str, Row]]:
    place = Place(fact.domain, fact.workflow)
    message = None
    if isinstance(fact, facts_pb2.AttributesUpdated):
        shown = matchable_resource_pb2.MatchableAttributesConfiguration(
            attributes=fact.attributes, project=fact.project, domain=fact.domain, workflow=fact.workflow
        )
        message = shown.SerializeToString(deterministic=True)
    row = (sequence, fact.resource_type, fact.project, *place, place.priority, message)
    return [("attributes", row)]


_ROWS: dict[type[Message], Callable[[Any, int], list[tuple[str, Row]]]] = {
    facts_pb2.TaskRegistered: _task,
    facts_pb2.WorkflowRegistered: _workflow,
    facts_pb2.LaunchPlanRegistered: _launch_plan,
    facts_pb2.LaunchPlanActivated: _activated,
    facts_pb2.LaunchPlanDeactivated: _deactivated,
    facts_pb2.ProjectRegistered: _project,
    facts_pb2.ProjectUpdated: _project,
    facts_pb2.NamedEntityUpdated: _metadata,
    facts_pb2.AttributesUpdated: _attributes,
    facts_pb2.AttributesDeleted: _attributes,
}


# --- facts as clients see them; Get answers the same ---------------------------------------------------------------


def task_message(fact: facts_pb2.TaskRegistered) -> task_pb2.Task:
    """GetTask's answer."""
    return task_pb2.Task(
        id=fact.id,
        closure=task_pb2.TaskClosure(compiled_task=fact.compiled_task, created_at=fact.created_at),
        short_description=fact.description.short_description,
    )


def listed_workflow(fact: facts_pb2.WorkflowRegistered) -> workflow_pb2.Workflow:
    """ListWorkflows' entry: of the closure the interface alone (admin-contract §1.2)."""
    message = workflow_pb2.Workflow(id=fact.id, short_description=fact.description.short_description)
    message.closure.created_at.CopyFrom(fact.created_at)
    message.closure.compiled_workflow.primary.template.interface.CopyFrom(fact.interface)
    return message


def workflow_message(
    fact: facts_pb2.WorkflowRegistered, closure: compiler_pb2.CompiledWorkflowClosure
) -> workflow_pb2.Workflow:
    """GetWorkflow's answer."""
    return workflow_pb2.Workflow(
        id=fact.id,
        closure=workflow_pb2.WorkflowClosure(compiled_workflow=closure, created_at=fact.created_at),
        short_description=fact.description.short_description,
    )


def description_message(
    fact: facts_pb2.TaskRegistered | facts_pb2.WorkflowRegistered,
) -> description_entity_pb2.DescriptionEntity:
    """GetDescriptionEntity's answer: what was given, under the entity's own identifier."""
    message = description_entity_pb2.DescriptionEntity()
    message.CopyFrom(fact.description)
    message.id.CopyFrom(fact.id)
    return message
