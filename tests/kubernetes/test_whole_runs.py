"""Executions whose tasks end in every way a pod can, from the API down to the cluster and back: the real execution
service decides what follows (k8s-contract §9.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution

from services.k8s_launcher.kubernetes.objects import POD
from tests.kubernetes import workflows
from tests.kubernetes.asking import until
from tests.kubernetes.whole_runs import PENDING_TIMEOUT_DAYS, Run, Stack, ended, error, failed, outputs
from tests.unit.kubernetes.pod_statuses import condition, container, not_ready, running, terminated, waiting

USER, SYSTEM = ExecutionError.USER, ExecutionError.SYSTEM


async def test_t48_success_with_outputs_and_the_phases_on_the_way(stack: Stack) -> None:
    run = await stack.run(outputs=True)
    await run.play(0, "Pending", waiting("ContainerCreating"), conditions=[not_ready()])
    await run.play(0, "Running", running(minutes=5))

    closure = (await run.attempt_in(TaskExecution.RUNNING)).closure
    assert closure.metadata.plugin_identifier == "container"
    assert [link.name for link in closure.logs] == ["Kubernetes Logs (User)"]
    await run.writes(0, "outputs.pb", outputs())
    await run.play(0, "Succeeded", terminated(0, "Completed"))
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    (attempt,) = await run.attempts()
    assert attempt.closure.output_uri.endswith("/0/outputs.pb")
    assert attempt.closure.custom_info["wall_seconds"] == 3600
    reasons = [reason.message for reason in attempt.closure.reasons]
    assert reasons[1] == "task submitted to K8s"


async def test_t49_outputs_that_are_not_there(stack: Stack) -> None:
    run = await stack.run(outputs=True, retries=1)
    for attempt in range(2):
        await run.play(attempt, "Succeeded", terminated(0, "Completed"))
    assert len(await failed(run, "RetriesExhausted|OutputsNotFound")) == 2


async def test_t50_an_error_of_the_task_that_no_other_attempt_mends(stack: Stack) -> None:
    run = await stack.run(outputs=True, retries=5)
    await run.writes(0, "error.pb", error("USER:Broken", recoverable=False))
    await run.play(0, "Succeeded", terminated(0, "Completed"))
    (attempt,) = await failed(run, "USER:Broken")
    assert attempt.closure.error.message == "by the task"


async def test_t51_an_error_of_the_task_that_another_attempt_may_mend(stack: Stack) -> None:
    run = await stack.run(outputs=True, retries=1)
    await run.writes(0, "error.pb", error("USER:Later", recoverable=True))
    await run.play(0, "Succeeded", terminated(0, "Completed"))
    assert (await run.pod(1))["metadata"]["name"].endswith("-1")
    await run.writes(1, "outputs.pb", outputs())
    await run.play(1, "Succeeded", terminated(0, "Completed"))
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    assert [ended(attempt)[0] for attempt in await run.attempts()] == ["FAILED", "SUCCEEDED"]
    await run.gone(0)
    assert list(await run.pods()) == [1]


async def test_t53_a_plain_exit_uses_the_systems_budget(stack: Stack) -> None:
    run = await stack.run()
    for attempt in range(4):
        await run.play(attempt, "Failed", terminated(1, "Error"))
    attempts = await failed(run, "RetriesExhausted|Interrupted")
    assert [ended(attempt) for attempt in attempts] == [("FAILED", "Interrupted", SYSTEM)] * 4


async def test_t55_a_container_without_memory_uses_the_tasks(stack: Stack) -> None:
    run = await stack.run(retries=1)
    for attempt in range(2):
        await run.play(attempt, "Failed", terminated(137, "OOMKilled"))
    attempts = await failed(run, "RetriesExhausted|OOMKilled")
    assert [ended(attempt) for attempt in attempts] == [("FAILED", "OOMKilled", USER)] * 2
    told = stack.process.cli_json("why", run.id.name)
    tries = told["behind"][0]["behind"]
    causes = [[one for one in attempt["behind"] if one["what"] == "cause"] for attempt in tries]
    assert [[cause["name"] for cause in found] for found in causes] == [["FAILED"], ["FAILED"]]
    assert all("OOMKilled" in cause["why"] and cause["event_id"] for found in causes for cause in found)


@pytest.mark.parametrize(
    "reason", [pytest.param("Evicted", id="T56"), pytest.param("UnexpectedAdmissionError", id="T58")]
)
async def test_what_nodes_do_to_a_task_without_retries_ends_it(stack: Stack, reason: str) -> None:
    run = await stack.run()
    await run.play(0, "Failed", reason=reason, message="because")
    (attempt,) = await failed(run, f"RetriesExhausted|{reason}")
    assert ended(attempt) == ("FAILED", reason, USER)
    assert list(await run.pods()) == [0], "its log may be read"


async def test_t57_the_last_attempt_that_interruptions_leave_is_not_interruptible(stack: Stack) -> None:
    run = await stack.run(interruptible=True)
    labels: list[str] = []
    for attempt in range(4):
        labels.append((await run.pod(attempt))["metadata"]["labels"]["interruptible"])
        await run.play(attempt, "Failed", reason="NodeShutdown")
    attempts = await failed(run, "RetriesExhausted|Interrupted")
    assert labels == ["true", "true", "true", "false"]
    assert [attempt.closure.metadata.instance_class for attempt in attempts] == [1, 1, 1, 0]


async def test_t41_what_will_never_start_is_not_tried_again_and_its_pod_is_deleted(stack: Stack) -> None:
    run = await stack.run(retries=2)
    await run.play(0, "Pending", waiting("CreateContainerConfigError", "no secret"), conditions=[not_ready()])
    (attempt,) = await failed(run, "ContainersNotReady|CreateContainerConfigError")
    assert ended(attempt)[2] == USER
    await run.gone(0)


async def not_started(stack: Stack, reason: str, retries: int) -> Run:
    """A run whose first pod is stuck, since before any period of grace."""
    run = await stack.run(retries=retries)
    await run.play(0, "Pending", waiting(reason, "because"), conditions=[not_ready()])
    return run


async def test_t40_an_image_that_is_not_to_be_had_uses_the_tasks_retries(stack: Stack) -> None:
    """T45 as well: nor is the second attempt's, of an init container."""
    run = await not_started(stack, "ImagePullBackOff", retries=1)
    await run.gone(0)
    init = [container("setup", waiting("ImagePullBackOff", "because"))]
    waits = waiting("PodInitializing")
    await run.play(1, "Pending", waits, initContainerStatuses=init, conditions=[not_ready()])
    attempts = await failed(run, "RetriesExhausted|ContainersNotReady|ImagePullBackOff")
    assert [ended(attempt)[2] for attempt in attempts] == [USER] * 2
    await run.gone(1)


@pytest.mark.parametrize(
    "reason", [pytest.param("InvalidImageName", id="T42"), pytest.param("CreateContainerError", id="T43")]
)
async def test_what_cannot_be_made_is_not_tried_again(stack: Stack, reason: str) -> None:
    run = await not_started(stack, reason, retries=2)
    (attempt,) = await failed(run, f"ContainersNotReady|{reason}")
    assert reason == "InvalidImageName" or attempt.closure.error.message.startswith("Grace period [3m0s] exceeded")
    await run.gone(0)


async def test_t46_a_pod_that_waits_too_long_uses_the_tasks_retries(stack: Stack) -> None:
    run = await stack.run(retries=1)
    long_ago = condition("PodScheduled", "False", "Unschedulable", "no room", days=PENDING_TIMEOUT_DAYS + 1)
    await run.play(0, "Pending", conditions=[long_ago])
    await run.gone(0)
    await run.play(1, "Pending", conditions=[long_ago])
    first, _ = await failed(run, "RetriesExhausted|PodPendingTimeout")
    assert ended(first) == ("FAILED", "PodPendingTimeout", USER)
    assert first.closure.error.message == "Unschedulable:no room"


async def test_t52_success_without_memory_is_none(stack: Stack) -> None:
    run = await stack.run(retries=1)
    await run.play(0, "Succeeded", terminated(0, "OOMKilled"))
    await run.play(1, "Succeeded", terminated(0, "Completed"))
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    first, _ = await run.attempts()
    assert ended(first) == ("FAILED", "OOMKilled", USER)


async def crash_loop(run: Run) -> None:
    await run.play(0, "Pending", waiting("CrashLoopBackOff", "because"), conditions=[not_ready()])


async def killed(run: Run) -> None:
    await run.play(0, "Failed", terminated(137, "Error"))


async def deleted(run: Run) -> None:
    await run.play(0, "Running", running())
    await run.attempt_in(TaskExecution.RUNNING)
    name = (await run.pod(0))["metadata"]["name"]
    await run.stack.api.delete(POD, run.namespace, name, grace_seconds=0)


async def held(run: Run) -> None:
    """It is to go, and somebody has yet to do something about that."""
    name = (await run.pod(0))["metadata"]["name"]
    await run.stack.api.patch(POD, run.namespace, name, {"metadata": {"finalizers": ["flightlog.test/hold"]}})
    await deleted(run)
    assert (await run.pod(1))["metadata"]["name"] != name
    await run.stack.api.patch(POD, run.namespace, name, {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(
    ("happens", "codes"),
    [
        pytest.param(crash_loop, {"ContainersNotReady|CrashLoopBackOff"}, id="T44"),
        pytest.param(killed, {"Interrupted"}, id="T54"),
        pytest.param(deleted, {"ResourceDeletedExternally", "UnexpectedObjectDeletion"}, id="T65"),
        pytest.param(held, {"UnexpectedObjectDeletion"}, id="T66"),
    ],
)
async def test_what_is_nobodys_fault_has_a_successor_though_the_task_has_no_retries(
    stack: Stack, happens: Callable[[Run], Awaitable[None]], codes: set[str]
) -> None:
    run = await stack.run()
    await happens(run)
    await run.play(1, "Succeeded", terminated(0, "Completed"))
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    first, _ = await run.attempts()
    phase, code, kind = ended(first)
    assert (phase, kind) == ("FAILED", SYSTEM)
    assert code in codes
    await run.gone(0)


async def test_t69_an_abort_deletes_the_pod_and_nothing_follows(stack: Stack) -> None:
    run = await stack.run(retries=3)
    await run.attempt_in(TaskExecution.QUEUED)
    await stack.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=run.id, cause="not wanted"))
    assert (await run.end()).closure.phase == WorkflowExecution.ABORTED
    await run.gone(0)
    await run.attempt_in(TaskExecution.ABORTED)
    assert len(await run.attempts()) == 1
    assert await run.pods() == {}


async def test_t70_what_takes_too_long_is_tried_again_until_all_of_it_takes_too_long(stack: Stack) -> None:
    run = await stack.run_workflow(workflows.too_slow)
    await run.play(0, "Running", running())
    await run.pod(1)
    await run.gone(0)
    execution = await run.end()
    assert execution.closure.phase == WorkflowExecution.FAILED
    # Twice the time is all there is, whatever the retries.
    assert (execution.closure.error.code, execution.closure.error.kind) == ("Timeout", USER)
    first, second = await run.attempts()
    assert [ended(attempt)[0] for attempt in (first, second)] == ["ABORTED"] * 2
    assert "task execution timeout [3s] expired" in [reason.message for reason in first.closure.reasons]
    await run.gone(1)


async def test_t68_a_long_message_is_cut_in_its_middle(stack: Stack) -> None:
    run = await stack.run()
    pod = await run.pod(0)
    name = pod["spec"]["containers"][0]["name"]
    others = [container(f"side-{number}", terminated(1, "Error", "x" * 12_000)) for number in range(12)]
    states = [
        container(name, terminated(137, "OOMKilled")),
        *others,
        container("last", terminated(1, "Error", "the end")),
    ]
    body = {"status": {"phase": "Failed", "message": "the beginning", "containerStatuses": states}}
    await stack.api.patch(POD, stack.namespace, pod["metadata"]["name"], body, subresource="status")
    (attempt,) = await failed(run, "RetriesExhausted|OOMKilled")
    message = attempt.closure.error.message
    head, _, tail = message.partition("\n... <Message Truncated> ...\n")
    assert head.startswith("the beginning")
    assert tail.endswith("Message: \nthe end.")
    assert len(message.encode()) <= 102_400


async def test_why_tells_what_the_cluster_says(stack: Stack) -> None:
    run = await stack.run()
    unplaced = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes have a GPU",
    }
    await run.play(0, "Pending", conditions=[unplaced])

    def told() -> str:
        text = stack.process.cli("why", run.id.name).stdout
        return text if "0/3 nodes" in text else ""

    text = await until(told)
    assert "attempt 0 QUEUED" in text
    assert "task submitted to K8s" in text
    assert "Unschedulable:0/3 nodes have a GPU" in text
    await run.play(0, "Succeeded", terminated(0, "Completed"))
    await run.end()
