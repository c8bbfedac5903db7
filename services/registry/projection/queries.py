"""The lists: one query each, with the client's filters, order and page (admin-contract §0.3-0.5).

All of them are called after the tables caught up with the stream (`Store.caught_up`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
from flyteidl.admin import (
    common_pb2,
    description_entity_pb2,
    launch_plan_pb2,
    matchable_resource_pb2,
    project_pb2,
    task_pb2,
    workflow_pb2,
)
from flyteidl.core import identifier_pb2

from flightlog_compiler import GENERATED_PREFIX
from flightlog_read import Column, Database, Entity, Page, SqlWhere

SCHEMA = "registry"
TABLE = "{table}"
"""What stands for the table in a statement."""
# Nothing registered is ever deleted.
_DELETED_AT = Column("deleted_at", "NULL::timestamptz", "timestamp")
_VERSION = (
    Column("id", "r.id", "int"),
    Column("created_at", "r.created_at", "timestamp"),
    # A version never changes; its row was last updated when it was made.
    Column("updated_at", "r.created_at", "timestamp"),
    _DELETED_AT,
    Column("project", "r.project"),
    Column("domain", "r.domain"),
    Column("name", "r.name"),
    Column("version", "r.version"),
    Column("digest", "encode(r.digest, 'hex')"),
)

TASK = Entity(
    "task",
    (*_VERSION, Column("type", "r.type"), Column("short_description", "r.short_description")),
    default_order="r.id",
)
WORKFLOW = Entity(
    "workflow",
    (
        *_VERSION,
        Column("remote_closure_identifier", "r.closure_uri"),
        Column("short_description", "r.short_description"),
    ),
    default_order="r.id",
)
_WORKFLOW_OF_LAUNCH_PLAN = Entity(
    "workflow",
    tuple(Column(name, f"r.workflow_{name}") for name in ("project", "domain", "name", "version")),
)
LAUNCH_PLAN = Entity(
    "launch_plan",
    (
        *(column for column in _VERSION if column.name != "updated_at"),
        Column("updated_at", "r.updated_at", "timestamp"),
        Column("state", "r.state", "int"),
        Column("schedule_type", "r.schedule_type"),
        # Launch conditions are refused at registration.
        Column("launch_condition_type", "NULL::text"),
    ),
    {"workflow": _WORKFLOW_OF_LAUNCH_PLAN},
    default_order="r.id",
)
_NAMED_ENTITY_COLUMNS = (
    Column("resource_type", "r.resource_type", "int"),
    Column("project", "r.project"),
    Column("domain", "r.domain"),
    Column("name", "r.name"),
    Column("description", "r.description"),
    Column("state", "r.state", "int"),
)
NAMED_ENTITY = Entity(
    "entities",
    _NAMED_ENTITY_COLUMNS,
    {"named_entity_metadata": Entity("named_entity_metadata", _NAMED_ENTITY_COLUMNS)},
    default_order="r.id",
)
PROJECT = Entity(
    "project",
    (
        Column("id", "r.id", "int"),
        Column("created_at", "r.created_at", "timestamp"),
        Column("updated_at", "r.updated_at", "timestamp"),
        _DELETED_AT,
        Column("identifier", "r.identifier"),
        Column("name", "r.name"),
        Column("description", "r.description"),
        Column("labels", "r.labels"),
        Column("state", "r.state", "int"),
    ),
    default_order="r.identifier",
)
DESCRIPTION_ENTITY = Entity(
    "description_entity",
    (
        *(column for column in _VERSION if column.name != "digest"),
        Column("resource_type", "r.resource_type", "int"),
        Column("short_description", "r.short_description"),
        Column("long_description", "r.long_description"),
        Column("link", "r.link"),
    ),
    default_order="r.id",
)


@dataclass(frozen=True, slots=True)
class Listing:
    """What to list: condition, ORDER BY list and page.

    `place` is the part of the condition that is about names alone, which never change.
    """

    where: SqlWhere
    order: str
    page: Page
    place: SqlWhere = field(default_factory=SqlWhere)

    def and_(self, where: SqlWhere) -> "Listing":
        """The same with one more condition."""
        return replace(self, where=self.where & where)


class Queries:
    """Reads the registry's tables."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def tasks(self, listing: Listing) -> list[task_pb2.Task]:
        """Full tasks."""
        rows = await self._select("r.message", "tasks", listing)
        return [task_pb2.Task.FromString(row[0]) for row in rows]

    async def workflows(self, listing: Listing) -> list[workflow_pb2.Workflow]:
        """Workflows with the interface alone."""
        rows = await self._select("r.message", "workflows", listing)
        return [workflow_pb2.Workflow.FromString(row[0]) for row in rows]

    async def launch_plans(self, listing: Listing) -> list[launch_plan_pb2.LaunchPlan]:
        """Full launch plans with their present state."""
        rows = await self._select("r.message, r.state, r.updated_at", "launch_plans", listing)
        found: list[launch_plan_pb2.LaunchPlan] = []
        for message, state, updated_at in rows:
            launch_plan = launch_plan_pb2.LaunchPlan.FromString(message)
            launch_plan.closure.state = state
            launch_plan.closure.updated_at.FromDatetime(updated_at)
            found.append(launch_plan)
        return found

    async def identifiers(self, table: str, listing: Listing) -> list[common_pb2.NamedEntityIdentifier]:
        """Distinct names of a table of versions, in the order in which they first match."""
        statement = f"""
            SELECT project, domain, name FROM (
                SELECT DISTINCT ON (r.project, r.domain, r.name) r.project, r.domain, r.name,
                    row_number() OVER (ORDER BY {listing.order}) AS rank
                FROM {TABLE} r WHERE {listing.where.clause}
                ORDER BY r.project, r.domain, r.name, rank
            ) AS names ORDER BY rank {listing.page.sql}"""
        rows = await self._ask(table, statement, listing.where.args, listing.place)
        return [common_pb2.NamedEntityIdentifier(project=row[0], domain=row[1], name=row[2]) for row in rows]

    async def projects(self, listing: Listing) -> list[project_pb2.Project]:
        """Projects without their domains, which are configuration."""
        rows = await self._select("r.message", "projects", listing)
        return [project_pb2.Project.FromString(row[0]) for row in rows]

    async def named_entities(self, listing: Listing) -> list[common_pb2.NamedEntity]:
        """Names with their description and state."""
        rows = await self._select(
            "r.resource_type, r.project, r.domain, r.name, r.description, r.state", "named_entities", listing
        )
        return [_named_entity(row) for row in rows]

    async def named_entity(
        self, resource_type: int, identifier: common_pb2.NamedEntityIdentifier
    ) -> common_pb2.NamedEntity | None:
        """One name, or None when no version of it was ever registered."""
        where = SqlWhere(
            "r.resource_type = $1 AND r.project = $2 AND r.domain = $3 AND r.name = $4",
            (resource_type, identifier.project, identifier.domain, identifier.name),
        )
        statement = f"""SELECT r.resource_type, r.project, r.domain, r.name, r.description, r.state
            FROM {TABLE} r WHERE {where.clause}"""
        for row in await self._ask("named_entities", statement, where.args, where):
            return _named_entity(row)
        return None

    async def descriptions(self, listing: Listing) -> list[description_entity_pb2.DescriptionEntity]:
        """Descriptions of tasks and workflows."""
        rows = await self._select("r.message", "description_entities", listing)
        return [description_entity_pb2.DescriptionEntity.FromString(row[0]) for row in rows]

    async def attributes(self, resource_type: int) -> list[matchable_resource_pb2.MatchableAttributesConfiguration]:
        """All matchable attributes of a kind, the most specific first, then in the order in which they came to be."""
        of_kind = SqlWhere("r.resource_type = $1", (resource_type,))
        statement = f"""SELECT r.message FROM {TABLE} r WHERE {of_kind.clause} AND r.message IS NOT NULL
            ORDER BY r.priority DESC, r.id"""
        rows = await self._ask("attributes", statement, of_kind.args, of_kind)
        return [matchable_resource_pb2.MatchableAttributesConfiguration.FromString(row[0]) for row in rows]

    async def _select(self, columns: str, table: str, listing: Listing) -> Sequence[asyncpg.Record]:
        statement = (
            f"SELECT {columns} FROM {TABLE} r WHERE {listing.where.clause} ORDER BY {listing.order} {listing.page.sql}"
        )
        return await self._ask(table, statement, listing.where.args, listing.place)

    async def _ask(
        self, table: str, statement: str, arguments: Sequence[Any], place: SqlWhere
    ) -> Sequence[asyncpg.Record]:
        """Asks a table. `place` is the part of the statement's condition that is about names alone."""
        async with self.database.reading() as connection:
            return await connection.fetch(statement.replace(TABLE, f"{SCHEMA}.{table}"), *arguments)


def without_system_names(listing: Listing) -> Listing:
    """Leaves out what the server made for single-task executions (admin-contract §0.5)."""
    return listing.and_(SqlWhere(f"r.name NOT LIKE '{GENERATED_PREFIX}%'"))


def _named_entity(row: asyncpg.Record) -> common_pb2.NamedEntity:
    resource_type, project, domain, name, description, state = row
    return common_pb2.NamedEntity(
        resource_type=identifier_pb2.ResourceType.Name(resource_type),
        id=common_pb2.NamedEntityIdentifier(project=project, domain=domain, name=name),
        metadata=common_pb2.NamedEntityMetadata(description=description, state=state),
    )
