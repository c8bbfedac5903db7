"""Maps from the API down to the cluster and back: every element is a pod of its own, all of them one task execution
(k8s-contract §6.1, T111 to T113, and §9.6)."""

from __future__ import annotations

import asyncio
from typing import Any

from flyteidl.core.execution_pb2 import TaskExecution, WorkflowExecution

from services.k8s_launcher.kubernetes.informer import Informer
from services.k8s_launcher.kubernetes.objects import POD, Object
from tests.kubernetes import workflows
from tests.kubernetes.asking import going, until
from tests.kubernetes.whole_runs import Run, Stack, error, outputs
from tests.unit.kubernetes.pod_statuses import running, terminated
from tests.unit.kubernetes.pods.tasks import variables

SUCCEEDED, FAILED = TaskExecution.SUCCEEDED, TaskExecution.FAILED


async def succeeds(run: Run, index: int, *, attempt: int = 0) -> None:
    element = run.element(index)
    await element.writes(attempt, "outputs.pb", outputs(index))
    await element.play(attempt, "Succeeded", terminated(0, "Completed"))


async def pods(run: Run) -> dict[str, Object]:
    """All of an execution, by name without the execution's."""
    found = await run.stack.api.list(POD, run.namespace, label_selector=run.selector)
    return {pod["metadata"]["name"].removeprefix(f"{run.id.name}-"): pod for pod in found.items}


def resources(task: Any) -> list[tuple[int, int, int]]:
    """Index, attempt and phase of the elements that one task execution tells of."""
    return [(one.index, one.retry_attempt, one.phase) for one in task.closure.metadata.external_resources]


async def values(run: Run) -> list[int | None]:
    """What a map gave; None for an element that gave nothing."""
    literals = (await run.outputs()).literals["o0"].collection.literals
    return [one.scalar.primitive.integer if one.scalar.HasField("primitive") else None for one in literals]


async def test_t111_elements_are_pods_and_one_task_execution_tells_of_all(stack: Stack) -> None:
    run = await stack.run_workflow(workflows.three)

    async def all_made() -> dict[str, Object] | None:
        found = await pods(run)
        return found if len(found) == 3 else None

    made = await until(all_made)
    assert made is not None
    assert sorted(made) == ["n0-0-n0-0", "n0-0-n1-0", "n0-0-n2-0"]
    for index, (_, pod) in enumerate(sorted(made.items())):
        labels = pod["metadata"]["labels"]
        assert (labels["node-id"], labels["execution-id"]) == (f"n{index}", run.id.name)
        told = variables(pod["spec"]["containers"][0])
        assert told["BATCH_JOB_ARRAY_INDEX_VAR_NAME"] == "FLYTE_K8S_ARRAY_INDEX"
        assert told["FLYTE_K8S_ARRAY_INDEX"] == str(index)
    inputs = {pod["spec"]["containers"][0]["args"][2] for pod in made.values()}
    assert len(inputs) == 1, "each is given the whole lists"
    for index in range(3):
        await run.element(index).play(0, "Running", running())

    async def all_run() -> Any:
        (task,) = await run.attempts()
        return task if resources(task) == [(index, 0, TaskExecution.RUNNING) for index in range(3)] else None

    task = await until(all_run)
    logs = [log.name for one in task.closure.metadata.external_resources for log in one.logs]
    assert logs == [f"Kubernetes Logs (User)-{index}" for index in range(3)]
    for index in range(3):
        await succeeds(run, index)
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    assert await values(run) == [0, 1, 2]
    (task,) = await run.attempts()
    assert resources(task) == [(index, 0, SUCCEEDED) for index in range(3)]
    assert [one.external_id for one in task.closure.metadata.external_resources] == [
        f"{run.id.name}-n0-0-n{index}-0" for index in range(3)
    ]
    assert (task.id.retry_attempt, task.closure.task_type) == (0, "container_array")
    assert task.closure.metadata.plugin_identifier == "k8s-array"


async def test_t112_a_failure_that_is_borne_gives_nothing(stack: Stack) -> None:
    run = await stack.run_workflow(workflows.half_of_two)
    await run.element(0).writes(0, "error.pb", error("USER:Broken", recoverable=False))
    await run.element(0).play(0, "Succeeded", terminated(0, "Completed"))
    await succeeds(run, 1)
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    assert await values(run) == [None, 1]
    (task,) = await run.attempts()
    assert resources(task) == [(0, 0, FAILED), (1, 0, SUCCEEDED)]


async def test_elements_of_a_map_that_cannot_succeed_any_more_are_taken_down(stack: Stack) -> None:
    run = await stack.run_workflow(workflows.three)
    for index in range(3):
        await run.element(index).play(0, "Running", running())
    await run.element(0).writes(0, "error.pb", error("USER:Broken", recoverable=False))
    await run.element(0).play(0, "Succeeded", terminated(0, "Completed"))
    assert (await run.end()).closure.phase == WorkflowExecution.FAILED
    for index in (1, 2):
        await run.element(index).gone(0)
    assert list(await pods(run)) == ["n0-0-n0-0"], "its log may be read"
    (task,) = await run.attempts()
    assert (task.closure.phase, resources(task)[0]) == (FAILED, (0, 0, FAILED))
    assert {phase for _, _, phase in resources(task)[1:]} == {TaskExecution.ABORTED}


async def test_t113_an_element_that_is_preempted_is_alone_in_being_tried_again(stack: Stack) -> None:
    run = await stack.run_workflow(workflows.three)
    preempted = run.element(1)
    await preempted.play(0, "Running", running())
    name = (await preempted.pod(0))["metadata"]["name"]
    await stack.api.delete(POD, stack.namespace, name, grace_seconds=0)
    await preempted.pod(1)
    for index in range(3):
        await succeeds(run, index, attempt=int(index == 1))
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    assert await values(run) == [0, 1, 2]
    assert sorted(await pods(run)) == ["n0-0-n0-0", "n0-0-n1-1", "n0-0-n2-0"]
    (task,) = await run.attempts()
    assert resources(task) == [(0, 0, SUCCEEDED), (1, 0, FAILED), (1, 1, SUCCEEDED), (2, 0, SUCCEEDED)]


async def test_no_more_pods_of_a_map_are_live_than_may_be(stack: Stack) -> None:
    """Of all states that the API went through, not of those that somebody happened to see."""
    run = await stack.run_workflow(workflows.two_at_a_time)
    live: set[str] = set()
    most = 0
    waiting: asyncio.Queue[int] = asyncio.Queue()

    def changed(seen: Object) -> None:
        nonlocal most
        name = seen["metadata"]["name"]
        if seen["status"]["phase"] in {"Succeeded", "Failed"}:
            live.discard(name)
        elif name not in live:
            live.add(name)
            waiting.put_nowait(int(seen["metadata"]["labels"]["node-id"].removeprefix("n")))
        most = max(most, len(live))

    def gone(last: Object) -> None:
        live.discard(last["metadata"]["name"])

    informer = Informer(stack.api, POD, run.namespace, label_selector=run.selector, on_change=changed, on_gone=gone)
    async with going(informer.run()):
        async with asyncio.timeout(60):
            goes_on = await waiting.get()
            for _ in range(7):
                # There is always another one beside it.
                another = await waiting.get()
                await succeeds(run, goes_on)
                goes_on = another
            await succeeds(run, goes_on)
        assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    assert most == 2
    assert await values(run) == list(range(8))
