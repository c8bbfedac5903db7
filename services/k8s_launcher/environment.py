"""The environment variables of a task (engine-semantics §3.7, k8s-contract §1.7).

Order, the later wins: what the machine gives, where the API is, the container's own, Flyte's names for the execution
and the task, the execution's variables, what the operator sets for all tasks (the object store's address and keys).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled

# What steers this service or a Flyte client on this machine is none of a task's business.
_NOT_INHERITED = ("FLIGHTLOG_", "FLYTE", "_F_", "RCLONE_", "PYTEST_")


def inherited_environment(environment: Mapping[str, str], *, hidden: str) -> dict[str, str]:
    """What a task sees of the launcher's own environment, as a container would see that of its image.

    Names that begin with `hidden` are left out: those hold secrets.
    """
    unseen = (*_NOT_INHERITED, hidden)
    return {name: value for name, value in environment.items() if not name.startswith(unseen)}


def task_environment(
    scheduled: AttemptScheduled,
    *,
    container: Iterable[tuple[str, str]],
    defaults: Mapping[str, str],
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Variables of one attempt, without the machine's.

    `container` are those of the task's template, `defaults` the operator's, `base` those of his that the task's own go
    before.
    """
    execution, task, workflow = scheduled.execution_id, scheduled.task_id, scheduled.workflow_id
    variables = {**(base or {}), **dict(container)}
    variables.update(
        {
            "FLYTE_INTERNAL_EXECUTION_WORKFLOW": f"{workflow.project}:{workflow.domain}:{workflow.name}",
            "FLYTE_INTERNAL_EXECUTION_ID": execution.name,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": execution.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": execution.domain,
            "FLYTE_ATTEMPT_NUMBER": str(scheduled.attempt),
            "FLYTE_INTERNAL_TASK_PROJECT": task.project,
            "FLYTE_INTERNAL_TASK_DOMAIN": task.domain,
            "FLYTE_INTERNAL_TASK_NAME": task.name,
            "FLYTE_INTERNAL_TASK_VERSION": task.version,
        }
    )
    # Sorted, so that they are always in the same order.
    variables.update(sorted(scheduled.envs.items()))
    variables.update(defaults)
    return variables
