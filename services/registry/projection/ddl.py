"""The registry's tables.

`id` is the sequence of the envelope that registered the row: it grows, is unique, and orders rows of one timestamp
(admin-contract T40). `message` holds the row as clients get it, so that a list needs nothing but the table. Text has no
NUL characters: Postgres cannot hold them.
"""

import re
from collections.abc import Mapping

DDL = """
CREATE TABLE projects (
    id bigint NOT NULL,
    identifier text PRIMARY KEY,
    name text NOT NULL,
    description text NOT NULL,
    labels text NOT NULL,
    state int NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    message bytea NOT NULL
);

CREATE TABLE tasks (
    id bigint PRIMARY KEY,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    type text NOT NULL,
    digest bytea NOT NULL,
    short_description text NOT NULL,
    created_at timestamptz NOT NULL,
    message bytea NOT NULL
);
-- ListTasks, ListTaskIds, the latest version of a name
CREATE INDEX tasks_by_name ON tasks (project, domain, name, created_at, id);
CREATE INDEX tasks_by_time ON tasks (project, domain, created_at, id);

CREATE TABLE workflows (
    id bigint PRIMARY KEY,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    digest bytea NOT NULL,
    closure_uri text NOT NULL,
    short_description text NOT NULL,
    created_at timestamptz NOT NULL,
    message bytea NOT NULL
);
-- ListWorkflows, ListWorkflowIds, the latest version of a name
CREATE INDEX workflows_by_name ON workflows (project, domain, name, created_at, id);
CREATE INDEX workflows_by_time ON workflows (project, domain, created_at, id);

CREATE TABLE launch_plans (
    id bigint PRIMARY KEY,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    digest bytea NOT NULL,
    state int NOT NULL,
    schedule_type text NOT NULL,
    workflow_project text NOT NULL,
    workflow_domain text NOT NULL,
    workflow_name text NOT NULL,
    workflow_version text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    message bytea NOT NULL
);
-- ListLaunchPlans, ListLaunchPlanIds, the latest version of a name, changes of state
CREATE INDEX launch_plans_by_name ON launch_plans (project, domain, name, created_at, id);
CREATE INDEX launch_plans_by_time ON launch_plans (project, domain, created_at, id);
-- ListActiveLaunchPlans
CREATE INDEX launch_plans_active ON launch_plans (project, domain, id) WHERE state = 1;
-- ListLaunchPlans of one workflow
CREATE INDEX launch_plans_by_workflow ON launch_plans (workflow_name, workflow_project, workflow_domain);

-- One row for each name that has a version; description and state are what UpdateNamedEntity left.
CREATE TABLE named_entities (
    id bigint NOT NULL,
    resource_type int NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    state int NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (resource_type, project, domain, name)
);

-- Matchable attributes. `id` orders rows by when there was first one; a deleted row stays, without message.
CREATE TABLE attributes (
    id bigint NOT NULL,
    resource_type int NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    workflow text NOT NULL,
    priority int NOT NULL,
    sequence bigint NOT NULL,
    message bytea,
    PRIMARY KEY (resource_type, project, domain, workflow)
);

CREATE TABLE description_entities (
    id bigint PRIMARY KEY,
    resource_type int NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    short_description text NOT NULL,
    long_description text NOT NULL,
    link text NOT NULL,
    created_at timestamptz NOT NULL,
    message bytea NOT NULL
);
-- ListDescriptionEntities
CREATE INDEX description_entities_by_name ON description_entities (resource_type, project, domain, name, id);
"""

_TABLE = re.compile(r"^CREATE TABLE (\w+) \(\n(.*?)^\);", re.DOTALL | re.MULTILINE)
_COLUMN = re.compile(r"^    ([a-z_]+) ([a-z]+)", re.MULTILINE)

COLUMNS: Mapping[str, Mapping[str, str]] = {name: dict(_COLUMN.findall(body)) for name, body in _TABLE.findall(DDL)}
"""Columns of each table, with their types, in order."""
