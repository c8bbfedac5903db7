"""flytekit's tasks in real containers, on a real kubelet: data, secrets, limits, images, nodes that fail."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import TaskExecution, WorkflowExecution

from flightlog_cluster.cluster import Cluster
from flightlog_cluster.node import Node
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import POD, SECRET

NAMESPACE = "flytesnacks-development"
POLL = timedelta(milliseconds=200)


@pytest.fixture
def done(remote: Any) -> Callable[..., Any]:
    """The execution with its nodes, once it is over."""

    def wait(execution: Any, seconds: int = 180) -> Any:
        return remote.wait(execution, timeout=timedelta(seconds=seconds), poll_interval=POLL, sync_nodes=True)

    return wait


def attempts(execution: Any, node: str = "n0") -> list[Any]:
    """Task executions of a node, in order."""
    found = execution.node_executions[node].task_executions
    return sorted(found, key=lambda task_execution: task_execution.id.retry_attempt)


async def pods(kube: Api, execution: Any) -> list[dict[str, Any]]:
    return list((await kube.list(POD, NAMESPACE, label_selector=f"execution-id={execution.id.name}")).items)


def statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return pod["status"]["containerStatuses"]


async def test_data_travels_through_the_object_store(run: Any, done: Any, kube: Api) -> None:
    execution = done(run("summing", rows=5))
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == 10
    host, _, name = execution.outputs["o1"]
    made = {pod["metadata"]["name"]: pod for pod in await pods(kube, execution)}
    assert name == execution.id.name
    assert host in made
    assert {state["state"]["terminated"]["exitCode"] for pod in made.values() for state in statuses(pod)} == {0}


async def test_raw_container_gets_and_gives_files(run: Any, done: Any) -> None:
    execution = done(run("greeting", name="you", times=3))
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == "hello you hello you hello you"
    assert execution.outputs["o1"] == 30


async def test_secrets_are_files_and_variables(run: Any, done: Any, kube: Api) -> None:
    data = {name: base64.b64encode(value).decode() for name, value in (("Token", b"t0ken"), ("password", b"pa55"))}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault"}, "data": data}
    await kube.create(SECRET, NAMESPACE, secret)
    execution = done(run("knowing"))
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == ["t0ken", "pa55", "pa55"]


async def test_t88_tasks_run_though_their_secrets_are_absent(run: Any, done: Any) -> None:
    execution = done(run("wondering"))
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == [False, False]


async def test_elements_of_a_map_are_pods_of_their_own(run: Any, done: Any, kube: Api) -> None:
    execution = done(run("doubling", numbers=[1, 2, 3]))
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == [2, 4, 6]
    assert len(await pods(kube, execution)) == 3


async def test_task_that_takes_too_much_memory_is_told_so_and_tried_again(run: Any, done: Any) -> None:
    execution = done(run("starving"))
    assert not execution.is_successful
    assert execution.error.code == "RetriesExhausted|OOMKilled"
    assert [attempt.closure.error.code for attempt in attempts(execution)] == ["OOMKilled", "OOMKilled"]


async def test_image_that_cannot_be_had_fails_with_the_kubelets_words(run: Any, done: Any, kube: Api) -> None:
    execution = done(run("lost"))
    assert not execution.is_successful
    assert "ImagePullBackOff" in execution.error.code
    assert "localhost/no-such-image:1" in execution.error.message


async def test_terminated_execution_leaves_no_pod(run: Any, remote: Any, kube: Api) -> None:
    execution = run("long", seconds=600)
    first = await running(kube, execution)
    remote.terminate(execution, "enough")
    await gone(kube, first)
    assert remote.fetch_execution(name=execution.id.name).closure.phase == WorkflowExecution.ABORTED


async def test_launcher_that_is_killed_finds_its_pods_again(run: Any, done: Any, stack: Any, kube: Api) -> None:
    execution = run("long", seconds=8)
    await running(kube, execution)
    stack.kill("k8s_launcher")
    execution = done(execution)
    assert execution.is_successful, execution.error
    assert len(attempts(execution)) == 1


async def test_node_that_loses_power_costs_an_attempt_and_no_retry(
    run: Any, done: Any, kube: Api, kubelet_cluster: tuple[Cluster, Node]
) -> None:
    node = kubelet_cluster[1]
    execution = run("long", seconds=30)
    lost = await running(kube, execution)
    await node.lose_power()
    # The cluster takes the silent node's pod away; its replacement waits for a node.
    await gone(kube, lost, marked=True)
    await node.come_back()
    execution = done(execution)
    assert execution.is_successful, execution.error
    assert execution.outputs["o0"] == 1
    phases = [attempt.closure.phase for attempt in attempts(execution)]
    assert phases == [TaskExecution.FAILED, TaskExecution.SUCCEEDED]


async def running(kube: Api, execution: Any) -> dict[str, Any]:
    """The execution's pod, once it runs."""
    async for event, pod in kube.watch(
        POD, NAMESPACE, resource_version="0", label_selector=f"execution-id={execution.id.name}", seconds=120
    ):
        if event != "BOOKMARK" and pod["status"].get("phase") == "Running":
            return pod
    pytest.fail("the pod never ran")


async def gone(kube: Api, pod: dict[str, Any], *, marked: bool = False) -> None:
    """Returns when the pod is deleted, or marked for it."""
    name = pod["metadata"]["name"]
    version = pod["metadata"]["resourceVersion"]
    async for event, now in kube.watch(
        POD, NAMESPACE, resource_version=version, field_selector=f"metadata.name={name}", seconds=120
    ):
        if event == "DELETED" or (marked and now["metadata"].get("deletionTimestamp")):
            return
    pytest.fail(f"the pod {name} was not taken away")
