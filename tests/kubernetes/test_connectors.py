"""Connectors beside the Kubernetes runtime (k8s-contract §5.7): they get the pod that would have been made."""

from __future__ import annotations

from flyteidl.admin import execution_pb2
from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import TaskExecution, WorkflowExecution
from google.protobuf.json_format import MessageToDict, ParseDict

from services.k8s_launcher.orders import Order, Orders
from services.k8s_launcher.runtime import Origin, Scheduled
from tests.integration.connectors.playing import META, PlayedConnector, played
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching
from tests.kubernetes.whole_runs import CONNECTED, Run, Stack


def _template() -> tasks_pb2.TaskTemplate:
    template = tasks_pb2.TaskTemplate(type=CONNECTED, config={"primary_container_name": "main"})
    container = {"name": "main", "image": "nowhere/nothing:1", "args": ["--to", "{{.outputPrefix}}"]}
    ParseDict({"containers": [container], "hostname": "own"}, template.k8s_pod.pod_spec)
    return template


async def _created(connector: PlayedConnector, run: Run) -> bool:
    """Whether the connector was asked for a run's task."""
    return run.id.name in {
        request.task_execution_metadata.task_execution_id.node_execution_id.execution_id.name
        for request in connector.created
    }


async def test_a_connector_gets_the_whole_pod_and_the_cluster_none(stack: Stack, connector_port: int) -> None:
    run = await stack.run(_template())
    # Nobody serves yet.
    assert "cannot be reached" in (await run.attempt_in(TaskExecution.WAITING_FOR_RESOURCES)).closure.reason
    async with played(connector_port) as connector:
        attempt = await run.attempt_in(TaskExecution.RUNNING)
        assert attempt.closure.metadata.plugin_identifier == "connector-service"
        (request,) = connector.created
        pod = MessageToDict(request.template.k8s_pod.pod_spec)
        (container,) = pod["containers"]
        assert container["args"] == ["--to", request.output_prefix]
        variables = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert variables["FLYTE_INTERNAL_EXECUTION_ID"] == run.id.name
        assert (pod["hostname"], pod["restartPolicy"], pod["schedulerName"]) == ("own", "Never", "nobody")
        assert request.template.k8s_pod.metadata.labels["execution-id"] == run.id.name
        assert request.task_execution_metadata.namespace == stack.namespace
        assert await run.pods() == {}
        connector.resource.phase = TaskExecution.SUCCEEDED
        assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED


async def test_t108_an_abort_deletes_the_task(stack: Stack, connector_port: int) -> None:
    async with played(connector_port) as connector:
        run = await stack.run(_template())
        await until(lambda: _created(connector, run))
        await stack.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=run.id, cause="not wanted"))
        assert (await run.end()).closure.phase == WorkflowExecution.ABORTED
        await run.attempt_in(TaskExecution.ABORTED)
        (request,) = connector.deleted
        assert (request.resource_meta, request.task_category.name) == (META, CONNECTED)


async def test_orders_of_connectors_are_none_of_the_clusters(launching: Launching) -> None:
    theirs, ours = await launching.attempt(), await launching.attempt()
    for fact, connector in ((theirs, "one"), (ours, "")):
        scheduled = Scheduled(fact, Origin("event", "correlation"))
        await Orders(launching.log).keep(Order(scheduled.key, scheduled, connector=connector, resource_meta=META))
    assert {(order.connector, order.resource_meta) for order in await launching.kept()} == {("one", META), ("", META)}
    async with launching.launcher() as runtime:
        await until(lambda: launching.pod(ours))
        assert not runtime.is_looked_after(Scheduled(theirs, Origin("", "")).key)
    assert await launching.pods() == [ours.generated_name]
    for order in await launching.kept():
        await Orders(launching.log).drop(order)
