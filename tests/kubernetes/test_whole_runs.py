"""Executions whose tasks end in every way a pod can, from the API down to the cluster and back: the real execution
service decides what follows (k8s-contract T41, T48 to T58, T65, T68)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution

from flightlog_cli.stack_process import StackProcess
from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD
from tests.kubernetes.asking import until
from tests.kubernetes.whole_runs import DOMAIN, PROJECT, Run, Stack, error, outputs
from tests.unit.kubernetes.pod_statuses import container, not_ready, running, terminated, waiting

USER, SYSTEM = ExecutionError.USER, ExecutionError.SYSTEM


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(cluster: Cluster, api: Api, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack whose launcher makes pods that no scheduler takes: their status is the test's."""
    suffix = uuid4().hex[:8]
    prefix = "FLIGHTLOG_KUBERNETES__"
    environment = {
        "FLIGHTLOG_LAUNCHER__RUNTIME": "kubernetes",
        f"{prefix}KUBECONFIG": str(cluster.kubeconfig),
        f"{prefix}INSTANCE": f"runs-{suffix}",
        f"{prefix}OWN_NAMESPACE": f"own-{suffix}",
        f"{prefix}NAMESPACE_TEMPLATE": f"{{project}}-{{domain}}-{suffix}",
        f"{prefix}PODS__SCHEDULER_NAME": "nobody",
        f"{prefix}LOGS__KUBERNETES_ENABLED": "true",
    }
    own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"own-{suffix}"}}
    await api.create(NAMESPACE, None, own)
    with StackProcess(tmp_path_factory.mktemp("kubernetes-stack"), environment=environment) as process:
        running_stack = Stack(process, api, f"{PROJECT}-{DOMAIN}-{suffix}")
        yield running_stack
        await running_stack.close()


def ended(attempt: Any) -> tuple[str, str, int]:
    """Phase, code and kind of an attempt."""
    closure = attempt.closure
    return TaskExecution.Phase.Name(closure.phase), closure.error.code, closure.error.kind


async def failed(run: Run, code: str, kind: int = USER) -> list[Any]:
    """The attempts of a run that failed with this error."""
    execution = await run.end()
    assert execution.closure.phase == WorkflowExecution.FAILED
    assert (execution.closure.error.code, execution.closure.error.kind) == (code, kind)
    return await run.attempts()


async def test_t48_success_with_outputs_and_the_phases_on_the_way(stack: Stack) -> None:
    run = await stack.run(outputs=True)
    await run.play(0, "Pending", waiting("ContainerCreating"), conditions=[not_ready()])
    await run.play(0, "Running", running(minutes=5))

    async def runs() -> Any:
        (attempt,) = await run.attempts()
        return attempt if attempt.closure.phase == TaskExecution.RUNNING else None

    closure = (await until(runs)).closure
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


async def test_t65_a_deleted_pod_has_a_successor(stack: Stack) -> None:
    run = await stack.run()
    pod = await run.pod(0)
    await run.play(0, "Running", running())
    await stack.api.delete(POD, stack.namespace, pod["metadata"]["name"], grace_seconds=0)
    await run.play(1, "Succeeded", terminated(0, "Completed"))
    assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
    first, _ = await run.attempts()
    assert ended(first) in [
        ("FAILED", "ResourceDeletedExternally", SYSTEM),
        ("FAILED", "UnexpectedObjectDeletion", SYSTEM),
    ]


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
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes have a GPU",
    }
    await run.play(0, "Pending", conditions=[condition])

    def told() -> str:
        text = stack.process.cli("why", run.id.name).stdout
        return text if "0/3 nodes" in text else ""

    text = await until(told)
    assert "attempt 0 QUEUED" in text
    assert "task submitted to K8s" in text
    assert "Unschedulable:0/3 nodes have a GPU" in text
    await run.play(0, "Succeeded", terminated(0, "Completed"))
    await run.end()
