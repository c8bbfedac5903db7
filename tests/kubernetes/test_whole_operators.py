"""Executions of tasks that operators run, from the API down to the cluster and back; the tests say what the operators
would (k8s-contract §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Kind, Object
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from tests.kubernetes.asking import until
from tests.kubernetes.whole_runs import Run, Stack, ended, failed
from tests.unit.kubernetes.plugins import serialised

USER, SYSTEM = ExecutionError.USER, ExecutionError.SYSTEM
FAILED_JOB = {
    "startTime": "2026-01-01T12:00:00Z",
    "replicaStatuses": {},
    "conditions": [
        {
            "type": "Failed",
            "status": "True",
            "reason": "JobFailed",
            "message": "worker 1 exited",
            "lastTransitionTime": "2026-01-01T12:00:01Z",
        }
    ],
}
FAILED_RAY = {"jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "m"}


def task(name: str) -> tasks_pb2.TaskTemplate:
    """As flytekit serialises it, without inputs and outputs."""
    template = serialised.template(name)
    template.ClearField("interface")
    return template


class Operator:
    """Says how the objects of a run's attempts are, by the API that knows their kinds."""

    def __init__(self, api: Api, run: Run, task_type: str) -> None:
        self.kind: Kind = next(each.plugin.kind for each in OPERATORS if task_type in each.task_types)
        self._api = api
        self._run = run

    async def made(self) -> dict[int, Object]:
        """The objects that are there, by attempt."""
        listed = await self._api.list(self.kind, self._run.namespace, label_selector=self._run.selector)
        return {int(one["metadata"]["annotations"]["flightlog.dev/attempt"]): one for one in listed.items}

    async def says(self, attempt: int, status: Mapping[str, Any]) -> None:
        async def there() -> Object | None:
            return (await self.made()).get(attempt)

        found = await until(there)
        assert found is not None
        said = {**found, "status": dict(status)}
        await self._api.replace(self.kind, self._run.namespace, said, subresource="status")


async def test_t94_a_ray_job_that_fails_uses_the_systems_budget_and_goes(operators: Api, stack: Stack) -> None:
    run = await stack.run(task("ray_plain"))
    operator = Operator(operators, run, "ray")
    for attempt in range(4):
        await operator.says(attempt, FAILED_RAY)
    attempts = await failed(run, "RetriesExhausted|TaskFailedWithError")
    assert [ended(attempt) for attempt in attempts] == [("FAILED", "TaskFailedWithError", SYSTEM)] * 4

    async def all_gone() -> bool:
        return not await operator.made()

    await until(all_gone)


async def test_t93_a_ray_job_goes_through_its_phases(operators: Api, stack: Stack) -> None:
    """T95 and T96 as well: it waits in a queue, and is tried again by its operator."""
    run = await stack.run(task("ray_plain"))
    operator = Operator(operators, run, "ray")
    for state, phase in (
        ("Suspended", TaskExecution.QUEUED),
        ("Initializing", TaskExecution.INITIALIZING),
        ("Running", TaskExecution.RUNNING),
        ("Suspended", TaskExecution.QUEUED),
        ("Retrying", TaskExecution.INITIALIZING),
        ("Running", TaskExecution.RUNNING),
    ):
        await operator.says(0, {"jobDeploymentStatus": state, "rayClusterName": "c"})
        attempt = await run.attempt_in(phase)
    assert attempt.closure.metadata.plugin_identifier == "ray"
    await operator.says(0, {"jobDeploymentStatus": "Complete", "rayClusterName": "c"})
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED


async def test_t100_a_job_of_the_training_operator_that_fails_uses_the_tasks_retries(
    operators: Api, stack: Stack
) -> None:
    run = await stack.run(task("pytorch_plain"), retries=1)
    operator = Operator(operators, run, "pytorch")
    for attempt in range(2):
        await operator.says(attempt, FAILED_JOB)
    attempts = await failed(run, "RetriesExhausted|DownstreamSystemError")
    assert [ended(attempt) for attempt in attempts] == [("FAILED", "DownstreamSystemError", USER)] * 2
    assert attempts[0].closure.error.message.startswith("Job failed:\n\tJobFailed - worker 1 exited")
