"""What list calls may filter and sort by (admin-contract §0.5), as columns of the tables in `ddl.sql`."""

from flightlog_read import Column, Entity

_OF_EXECUTION = ("execution_project", "execution_domain", "execution_name")
_TAGS = (
    "EXISTS (SELECT FROM (SELECT key, value FROM jsonb_each_text(e.labels) "
    "UNION ALL SELECT unnest(e.tags), '') AS tagged WHERE {})"
)


def _times(alias: str, prefix: str) -> tuple[Column, ...]:
    return (
        Column("created_at", f"{alias}.created_at", "timestamp"),
        Column("updated_at", f"{alias}.updated_at", "timestamp"),
        # Nothing is ever deleted.
        Column("deleted_at", "NULL::timestamptz", "timestamp"),
        Column("started_at", f"{alias}.started_at", "timestamp"),
        Column(f"{prefix}_created_at", f"{alias}.created_at", "timestamp"),
        Column(f"{prefix}_updated_at", f"{alias}.updated_at", "timestamp"),
        Column("duration", f"{alias}.duration", "duration_ns"),
    )


def _execution_columns(alias: str) -> tuple[Column, ...]:
    return (
        Column("id", f"{alias}.id", "int"),
        *(Column(name, f"{alias}.{name}") for name in _OF_EXECUTION),
        Column("phase", f"{alias}.phase", "phase"),
        Column("state", f"{alias}.state", "int"),
        Column("mode", f"{alias}.mode", "int"),
        Column("launch_entity", f"{alias}.launch_entity"),
        Column("user", f"{alias}.principal"),
        Column("abort_cause", f"{alias}.abort_cause"),
        Column("error_kind", f"{alias}.error_kind"),
        Column("error_code", f"{alias}.error_code"),
        Column("inputs_uri", f"{alias}.inputs_uri"),
        Column("user_inputs_uri", f"{alias}.user_inputs_uri"),
        # Which cluster ran it: there is one, without a name.
        Column("cluster", "''::text"),
        *_times(alias, "execution"),
    )


def _versioned(name: str, prefix: str, within: str = "") -> Entity:
    """An entity of the registry, as far as an execution names it."""
    parts = ("project", "domain", "name", "version")
    return Entity(name, tuple(Column(part, f"{prefix}{part}", within=within) for part in parts))


_LAUNCH_PLAN = _versioned("launch_plan", "e.launch_", "(e.launch_entity = 'launch_plan' AND {})")
_TASK_OF_EXECUTION = _versioned("task", "e.launch_", "(e.launch_entity = 'task' AND {})")
_WORKFLOW = _versioned("workflow", "e.workflow_")
_TAG_COLUMNS = (Column("key", "tagged.key", within=_TAGS), Column("value", "tagged.value", within=_TAGS))

EXECUTION = Entity(
    "execution",
    _execution_columns("e"),
    joins={
        "launch_plan": _LAUNCH_PLAN,
        "workflow": _WORKFLOW,
        "task": _TASK_OF_EXECUTION,
        "execution_tag": Entity("execution_tag", _TAG_COLUMNS),
        "admin_tag": Entity("admin_tag", (Column("name", "tagged.key", within=_TAGS),)),
    },
)

_NODE_COLUMNS = (
    Column("id", "ne.id", "int"),
    *(Column(name, f"ne.{name}") for name in _OF_EXECUTION),
    Column("node_id", "ne.node_id"),
    Column("phase", "ne.phase", "phase"),
    Column("input_uri", "ne.input_uri"),
    Column("parent_id", "ne.parent_id", "int"),
    Column("error_kind", "ne.error_kind"),
    Column("error_code", "ne.error_code"),
    Column("cache_status", "ne.cache_status"),
    *_times("ne", "node_execution"),
)

NODE_EXECUTION = Entity(
    "node_execution",
    _NODE_COLUMNS,
    joins={"execution": Entity("execution", _execution_columns("e"))},
)

TASK_EXECUTION = Entity(
    "task_execution",
    (
        Column("id", "te.id", "int"),
        *(Column(name, f"te.{name}") for name in _OF_EXECUTION),
        Column("node_id", "te.node_id"),
        Column("retry_attempt", "te.retry_attempt", "int"),
        Column("project", "te.project"),
        Column("domain", "te.domain"),
        Column("name", "te.name"),
        Column("version", "te.version"),
        Column("phase", "te.phase", "phase"),
        Column("phase_version", "te.phase_version", "int"),
        Column("input_uri", "te.input_uri"),
        *_times("te", "task_execution"),
    ),
    joins={
        "task": _versioned("task", "te."),
        "execution": Entity("execution", _execution_columns("e")),
        "node_execution": Entity("node_execution", _NODE_COLUMNS),
    },
)

SIGNAL = Entity(
    "signal",
    (
        Column("id", "s.id", "int"),
        *(Column(name, f"s.{name}") for name in (*_OF_EXECUTION, "signal_id")),
        Column("created_at", "s.created_at", "timestamp"),
        Column("updated_at", "s.updated_at", "timestamp"),
        Column("deleted_at", "NULL::timestamptz", "timestamp"),
    ),
)
