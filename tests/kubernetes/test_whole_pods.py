"""Executions of tasks that are pods of several containers, from the API down to the cluster and back: whose end is the
task's (k8s-contract §2.5, T59 to T64)."""

from __future__ import annotations

from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution

from services.k8s_launcher.copying.command import parser
from services.k8s_launcher.kubernetes.objects import POD, Object
from tests.kubernetes.whole_runs import Run, Stack, ended, error, failed
from tests.unit.kubernetes.pod_statuses import container, running, terminated
from tests.unit.kubernetes.pods.tasks import pod_task
from tests.unit.kubernetes.test_raw_containers import raw

USER, SYSTEM = ExecutionError.USER, ExecutionError.SYSTEM
DONE = terminated(0, "Completed")


def two(task_type: str) -> tasks_pb2.TaskTemplate:
    """A task that is a pod of two containers."""
    both = ({"name": "primary", "image": "nowhere/nothing:1"}, {"name": "side", "image": "nowhere/nothing:2"})
    return pod_task(*both, type=task_type, task_type_version=2)


async def become(run: Run, main: Object, side: Object, *, attempt: int = 0) -> None:
    states = [container("primary", main), container("side", side)]
    await run.play(attempt, "Running", containerStatuses=states)


async def test_t59_a_primary_that_is_done_is_enough_and_leaves_no_pod_behind(stack: Stack) -> None:
    """Flyte leaves the pod to its sidecars; here it goes (k8s-contract §10.3)."""
    run = await stack.run(two("sidecar"))
    await become(run, DONE, running())
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    await run.gone(0)


async def test_t60_a_primary_that_fails_uses_the_tasks_retries(stack: Stack) -> None:
    run = await stack.run(two("sidecar"), retries=1)
    for attempt in range(2):
        await become(run, terminated(1, "Error"), running(), attempt=attempt)
    attempts = await failed(run, "RetriesExhausted|Error")
    assert [ended(attempt) for attempt in attempts] == [("FAILED", "Error", USER)] * 2


async def test_t61_a_primary_that_is_killed_does_not(stack: Stack) -> None:
    run = await stack.run(two("sidecar"))
    await become(run, terminated(137, "Error"), running())
    await become(run, DONE, running(), attempt=1)
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    first, _ = await run.attempts()
    assert ended(first) == ("FAILED", "Error", SYSTEM)


async def test_t62_without_a_primary_all_must_end(stack: Stack) -> None:
    run = await stack.run(two("python-task"))
    assert "primary_container_name" not in (await run.pod(0))["metadata"]["annotations"]
    # The first that is heard of it: an end of it would be all that is ever said.
    await become(run, DONE, running())
    await run.attempt_in(TaskExecution.RUNNING)
    await become(run, DONE, DONE)
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED


async def test_t63_a_raw_container_is_done_when_its_outputs_are_copied(stack: Stack) -> None:
    run = await stack.run(raw(inputs=None, command=["tool"]))
    uploader = (await run.pod(0))["spec"]["initContainers"][0]
    prefix = parser().parse_args(uploader["args"]).to_output_prefix
    name = (await run.pod(0))["spec"]["containers"][0]["name"]

    async def copying(state: Object) -> None:
        init = [container("flyte-copilot-uploader", state)]
        await run.play(0, "Running", containerStatuses=[container(name, DONE)], initContainerStatuses=init)

    await copying(running())
    await run.attempt_in(TaskExecution.RUNNING)
    # Only what is written before the copying ends can be what comes of the run.
    told = error("USER:Written", recoverable=False)
    await stack.blobs.put(f"{prefix}/error.pb", told.SerializeToString())
    await copying(DONE)
    (attempt,) = await failed(run, "USER:Written")
    assert ended(attempt) == ("FAILED", "USER:Written", USER)


async def test_t64_a_primary_that_is_not_there_ends_it_for_good(stack: Stack) -> None:
    run = await stack.run(two("sidecar"), retries=2)
    name = (await run.pod(0))["metadata"]["name"]
    lost = {"metadata": {"annotations": {"primary_container_name": "nobody"}}}
    await stack.api.patch(POD, run.namespace, name, lost)
    await become(run, running(), running())
    (attempt,) = await failed(run, "PrimaryContainerNotFound")
    assert ended(attempt)[2] == USER
