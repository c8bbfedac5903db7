"""The merged configuration of an execution: each field from the first source that sets it (admin-contract §4.5)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar
from zlib import crc32

from flyteidl.admin.common_pb2 import AuthRole
from flyteidl.admin.execution_pb2 import ExecutionSpec, NotificationList
from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.matchable_resource_pb2 import WorkflowExecutionConfig
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.security_pb2 import Identity, SecurityContext

from flightlog_protos.execution.v1.facts_pb2 import ResolvedConfig
from services.execution.creation.attributes import NOTHING, Said, default_quality

DEFAULT_MAX_PARALLELISM = 25

_T = TypeVar("_T")


def resolve_config(
    spec: ExecutionSpec,
    launch_plan: LaunchPlanSpec,
    project_labels: Mapping[str, str],
    *,
    execution_id: WorkflowExecutionIdentifier,
    metadata_root: str,
    raw_output_prefix: str,
    max_parallelism: int,
    parent: ResolvedConfig | None = None,
    said: Said = NOTHING,
) -> ResolvedConfig:
    """What holds for this run. The request comes first, then the launch plan, attributes, the server's own settings.

    Args:
        launch_plan: empty for the execution of a single task.
        metadata_root: `s3://<bucket>/metadata/propeller`; `{shard}` in it becomes two hex digits.
        raw_output_prefix: where tasks write unless the request or the launch plan says otherwise.
        max_parallelism: what holds, for each execution by itself, when neither says anything.
        parent: of a child: what holds for the execution that it belongs to.
        said: what administrators set for where it runs, and for its workflow.
    """
    sources = (spec, launch_plan, *said.configs)
    config = ResolvedConfig(
        max_parallelism=next(
            (source.max_parallelism for source in sources if source.max_parallelism > 0), max_parallelism
        ),
        overwrite_cache=any(source.overwrite_cache for source in sources),
        launch_plan=spec.launch_plan,
        metadata_prefix=f"{metadata_root.replace('{shard}', _shard(execution_id))}"
        f"/{execution_id.project}-{execution_id.domain}-{execution_id.name}",
        raw_output_prefix=(
            _first_of(source.raw_output_data_config.output_location_prefix for source in sources) or raw_output_prefix
        ).rstrip("/"),
        task_resources=said.task_resources,
    )
    if parent is not None:
        if parent.HasField("parallelism_root"):
            config.parallelism_root.CopyFrom(parent.parallelism_root)
    elif spec.max_parallelism > 0 or launch_plan.max_parallelism > 0:
        config.parallelism_root.CopyFrom(execution_id)
    interruptible = _first(source.interruptible for source in sources if source.HasField("interruptible"))
    if interruptible is not None:
        config.interruptible = interruptible.value
    for source in (spec.quality_of_service, launch_plan.quality_of_service):
        if source.spec.HasField("queueing_budget"):
            config.queueing_budget.CopyFrom(source.spec.queueing_budget)
            break
    quality = default_quality(spec, launch_plan, said)
    if quality is not None and quality.spec.HasField("queueing_budget"):
        config.default_queueing_budget.CopyFrom(quality.spec.queueing_budget)
    for pair in _first_of(source.envs.values for source in sources) or ():
        config.envs[pair.key] = pair.value
    # Labels and annotations of the first source replace the others' as a whole; the project's fill in (T55).
    config.labels.update(project_labels)
    config.labels.update(_first_of(source.labels.values for source in sources) or {})
    config.annotations.update(_first_of(source.annotations.values for source in sources) or {})
    return config


def _shard(execution_id: WorkflowExecutionIdentifier) -> str:
    """One of 256 names. The embedded S3 server lists a folder to find an entry in it: a task's upload below 5,000
    executions in one folder took 200 ms, in one of 256 folders 4 ms."""
    return f"{crc32(execution_id.name.encode()) & 0xFF:02x}"


def resolve_security_context(
    spec: ExecutionSpec, launch_plan: LaunchPlanSpec, configs: Sequence[WorkflowExecutionConfig] = ()
) -> SecurityContext:
    """Who the run is: always set, with at least an empty identity (admin-contract §4.5, T53).

    The older roles, even that of the request, come after all sources of security contexts.
    """
    given = [source.security_context for source in (spec, launch_plan, *configs)]
    for context in (*given, _derived(spec.auth_role)):
        if _is_set(context.run_as):
            return context
    roles = (launch_plan.auth_role, _older_role(launch_plan), AuthRole(assumable_iam_role=launch_plan.role))
    derived = _first(context for context in map(_derived, roles) if _is_set(context.run_as))
    if derived is not None:
        return derived
    resolved = SecurityContext()
    resolved.CopyFrom(spec.security_context)
    resolved.run_as.SetInParent()
    return resolved


def resolve_notifications(spec: ExecutionSpec, launch_plan: LaunchPlanSpec) -> NotificationList:
    """The request's own list wins, else `disable_all` silences, else the launch plan's holds (admin-contract §4.7)."""
    if spec.notifications.notifications:
        return spec.notifications
    if spec.disable_all:
        return NotificationList()
    return NotificationList(notifications=launch_plan.entity_metadata.notifications)


def _is_set(identity: Identity) -> bool:
    return bool(identity.ByteSize())


def _derived(role: AuthRole) -> SecurityContext:
    return SecurityContext(
        run_as=Identity(iam_role=role.assumable_iam_role, k8s_service_account=role.kubernetes_service_account)
    )


def _older_role(launch_plan: LaunchPlanSpec) -> AuthRole:
    older = launch_plan.auth
    return AuthRole(
        assumable_iam_role=older.assumable_iam_role, kubernetes_service_account=older.kubernetes_service_account
    )


def _first_of(values: Iterable[_T]) -> _T | None:
    """The first that is not empty."""
    return _first(value for value in values if value)


def _first(values: Iterable[_T]) -> _T | None:
    return next(iter(values), None)
