"""Cached tasks through unmodified flytekit, where several runs, a catalog that is away or lost data come together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import nats
import psutil
import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import (
    LAUNCH_PLAN,
    TASK,
    WORKFLOW,
    Identifier,
    NodeExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.service import admin_pb2_grpc

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_types import cache_keys
from services.catalog import subjects

POLL = timedelta(milliseconds=100)
HIT, POPULATED = CatalogCacheStatus.CACHE_HIT, CatalogCacheStatus.CACHE_POPULATED
ENDED = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED)


class Runs:
    """Starts workflows of `cached.py` and tells what the API says of them."""

    def __init__(self, remote: Any, module: Any, register: Callable[..., Any], admin: Any) -> None:
        self.remote, self.admin = remote, admin
        self._module, self._register = module, register

    def start(self, name: str, *, overwrite_cache: bool | None = None, **inputs: Any) -> str:
        registered = self._register(getattr(self._module, name))
        return self.remote.execute(registered, inputs=inputs, overwrite_cache=overwrite_cache).id.name

    def run(self, name: str, **inputs: Any) -> str:
        return self.end(self.start(name, **inputs))

    def end(self, run: str) -> str:
        """Waits for a run's success."""
        assert self.phase_at_end(run) == WorkflowExecution.SUCCEEDED, self.execution(run).closure
        return run

    def phase_at_end(self, run: str) -> WorkflowExecution.Phase:
        deadline = time.monotonic() + 120
        while (phase := self.execution(run).closure.phase) not in ENDED:
            assert time.monotonic() < deadline, f"{run} is still {WorkflowExecution.Phase.Name(phase)}"
            time.sleep(POLL.total_seconds())
        return phase

    def execution(self, run: str) -> Any:
        return self.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier(run)))

    def nodes(self, run: str) -> dict[str, Any]:
        request = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=identifier(run), limit=100)
        return {node.id.node_id: node for node in self.admin.ListNodeExecutions(request).node_executions}

    def outputs(self, run: str) -> Any:
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=identifier(run))
        return self.admin.GetExecutionData(request).full_outputs

    def children(self, run: str, node: str) -> list[Any]:
        request = node_execution_pb2.NodeExecutionListRequest(
            workflow_execution_id=identifier(run), unique_parent_id=node, limit=100
        )
        return list(self.admin.ListNodeExecutions(request).node_executions)

    def elements(self, run: str, node: str = "n0") -> list[CatalogCacheStatus]:
        """What the elements of a map have to do with the cache."""
        node_id = NodeExecutionIdentifier(node_id=node, execution_id=identifier(run))
        request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=node_id, limit=10)
        (shown,) = self.admin.ListTaskExecutions(request).task_executions
        return [resource.cache_status for resource in shown.closure.metadata.external_resources]

    def synced(self, run: str) -> Any:
        """The run as FlyteRemote has it."""
        return self.remote.sync_execution(self.remote.fetch_execution(name=run), sync_nodes=True)

    def status(self, run: str, node: str = "n0") -> CatalogCacheStatus:
        return self.nodes(run)[node].closure.task_node_metadata.cache_status


def identifier(run: str) -> WorkflowExecutionIdentifier:
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=run)


@pytest.fixture(scope="module")
def runs(
    stack: Any, remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]
) -> Iterator[Runs]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield Runs(remote, workflow_module("cached"), register, admin_pb2_grpc.AdminServiceStub(channel))


@pytest.fixture
def key() -> str:
    return uuid4().hex


def test_of_twenty_runs_at_once_one_does_the_work(runs: Runs, key: str) -> None:
    names = [runs.start("drawing_alone", key=key) for _ in range(20)]
    for name in names:
        runs.end(name)
    assert len({runs.outputs(name).SerializeToString() for name in names}) == 1
    statuses = [runs.status(name) for name in names]
    assert (statuses.count(POPULATED), statuses.count(HIT)) == (1, 19)


def test_when_the_one_that_works_fails_the_next_one_tries(runs: Runs, key: str) -> None:
    names = [runs.start("failing_alone", key=key) for _ in range(3)]
    assert [runs.phase_at_end(name) for name in names] == [WorkflowExecution.FAILED] * 3
    began = sorted(runs.nodes(name)["n0"].closure.started_at.ToDatetime() for name in names)
    lasted = [
        (node.started_at.ToDatetime(), node.started_at.ToDatetime() + node.duration.ToTimedelta())
        for node in (runs.nodes(name)["n0"].closure for name in names)
    ]
    assert all(end <= start for (_, end), (start, _) in zip(sorted(lasted), sorted(lasted)[1:], strict=False)), began


def test_when_the_one_that_works_is_terminated_the_next_one_goes_on(runs: Runs, key: str) -> None:
    first = runs.start("drawing_alone", key=key)
    wait_for(lambda: "n0" in runs.nodes(first) and runs.nodes(first)["n0"].closure.HasField("started_at"))
    second = runs.start("drawing_alone", key=key)
    wait_for(lambda: "n0" in runs.nodes(second))
    runs.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=identifier(first), cause="enough"))
    assert runs.phase_at_end(first) == WorkflowExecution.ABORTED
    assert runs.status(runs.end(second)) == POPULATED


def test_a_catalog_that_is_away_holds_runs_up_and_loses_none(runs: Runs, stack: Any, key: str) -> None:
    runs.run("drawing", key=key)
    before = stack.pids["catalog"]
    psutil.Process(before).suspend()
    try:
        waiting, aborted = runs.start("drawing", key=key), runs.start("drawing", key=key)
        for name in (waiting, aborted):
            wait_for(lambda name=name: "start-node" in runs.nodes(name))
        # Clients see nothing of a node whose result may be known.
        assert set(runs.nodes(aborted)) == {"start-node"}
        runs.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=identifier(aborted), cause="enough"))
        assert runs.phase_at_end(aborted) == WorkflowExecution.ABORTED
        assert set(runs.nodes(aborted)) == {"start-node"}
        assert runs.execution(waiting).closure.phase == WorkflowExecution.RUNNING
    finally:
        stack.wait_for_part("catalog", after=stack.kill("catalog"))
    assert runs.status(runs.end(waiting)) == HIT
    assert stack.pids["catalog"] != before


def test_a_catalog_that_is_killed_again_and_again_loses_and_doubles_nothing(runs: Runs, stack: Any, key: str) -> None:
    groups = [[runs.start("drawing_alone", key=f"{key}-{number}") for _ in range(4)] for number in range(4)]
    for _ in range(4):
        stack.wait_for_part("catalog", after=stack.kill("catalog"))
    for group in groups:
        statuses = [runs.status(runs.end(name)) for name in group]
        assert (statuses.count(POPULATED), statuses.count(HIT)) == (1, 3)
        assert len({runs.outputs(name).SerializeToString() for name in group}) == 1


def test_a_result_whose_data_is_gone_is_made_again(runs: Runs, stack: Any, key: str) -> None:
    first = runs.run("drawing", key=key)
    uri = runs.nodes(first)["n0"].closure.output_uri
    (Path(stack.endpoints["object_directory"]) / uri.removeprefix("s3://")).unlink()
    # What the service has in memory would do as well.
    stack.wait_for_part("execution", after=stack.kill("execution"))
    second = runs.run("drawing", key=key)
    assert runs.status(second) == POPULATED
    third = runs.run("drawing", key=key)
    assert runs.status(third) == HIT
    assert runs.outputs(third) == runs.outputs(second)
    source = runs.nodes(third)["n0"].closure.task_node_metadata.catalog_key.source_task_execution
    assert source.node_execution_id.execution_id.name == second


async def test_a_result_that_cannot_be_kept_fails_nothing(runs: Runs, stack: Any, key: str) -> None:
    interface = TypedInterface()
    interface.inputs.variables["key"].type.simple = 3
    interface.outputs.variables["o0"].type.simple = 1
    task = Identifier(resource_type=TASK, project="flytesnacks", domain="development", name="cached.draw")
    inputs = LiteralMap()
    inputs.literals["key"].scalar.primitive.string_value = key
    entry = CacheKey(dataset=cache_keys.dataset(task, interface, "1"), tag=cache_keys.tag(inputs))
    credentials = stack.endpoints["credentials"]
    client = await nats.connect(
        stack.endpoints["nats"], user=credentials["nats_user"], password=credentials["nats_password"]
    )
    await client.jetstream().publish(str(subjects.entry(entry)), b"no envelope")
    await client.close()
    name = await asyncio.to_thread(runs.run, "drawing", key=key)
    assert runs.status(name) == CatalogCacheStatus.CACHE_PUT_FAILURE
    assert runs.nodes(name)["n0"].closure.task_node_metadata.catalog_key.dataset_id == entry.dataset
    assert runs.status(await asyncio.to_thread(runs.run, "drawing", key=key)) == CatalogCacheStatus.CACHE_PUT_FAILURE


def test_a_node_may_be_cached_otherwise_than_its_task(runs: Runs, key: str) -> None:
    first, second = (runs.run("overridden", key=key) for _ in range(2))
    assert [runs.status(name, "n0") for name in (first, second)] == [POPULATED, HIT]
    assert [runs.status(name, "n1") for name in (first, second)] == [CatalogCacheStatus.CACHE_DISABLED] * 2
    made, found = (runs.outputs(name).literals for name in (first, second))
    assert made["o0"] == found["o0"]
    assert made["o1"] != found["o1"]


def test_the_history_tells_what_was_asked_and_found(runs: Runs, stack: Any, key: str) -> None:
    first, second = (runs.run("drawing", key=key) for _ in range(2))
    told = stack.cli("events", f"flytesnacks/development/{first}").stdout
    assert "CachePutRequested" in told
    assert "catalog: STORED n0" in told
    told = stack.cli("events", f"flytesnacks/development/{second}").stdout
    assert f"CACHE_HIT by n0 of {first}" in told
    assert "catalog: FOUND n0" in told


# ---------------------------------------------------------------------------------------------------- no tasks


def test_a_cached_sub_workflow_is_found_as_a_whole(runs: Runs, key: str) -> None:
    first, second = (runs.run("remembering_workflow", key=key) for _ in range(2))
    assert [runs.status(name) for name in (first, second)] == [POPULATED, HIT]
    assert runs.outputs(first) == runs.outputs(second)
    assert runs.children(first, "n0")
    assert not runs.children(second, "n0")
    hit = runs.nodes(second)["n0"].closure
    assert hit.task_node_metadata.catalog_key.dataset_id.name == "flightlog_workflow-cached.inner"
    source = hit.task_node_metadata.catalog_key.source_task_execution
    assert (source.node_execution_id.execution_id.name, source.task_id.name) == (first, "cached.inner")
    assert source.task_id.resource_type == WORKFLOW
    # What it gave is kept under its cache version.
    other = runs.run("remembering_workflow_anew", key=key)
    assert runs.status(other) == POPULATED
    assert runs.outputs(other) != runs.outputs(first)
    synced = runs.synced(second)
    assert synced.node_executions["n0"].outputs == synced.outputs


def test_overwriting_renews_what_a_sub_workflow_gave(runs: Runs, key: str) -> None:
    first = runs.run("remembering_workflow", key=key)
    second = runs.end(runs.start("remembering_workflow", overwrite_cache=True, key=key))
    assert runs.status(second) == POPULATED
    assert runs.outputs(second) != runs.outputs(first)
    assert runs.outputs(runs.run("remembering_workflow", key=key)) == runs.outputs(second)


def test_a_cached_launch_plan_is_not_run_again(runs: Runs, key: str) -> None:
    first, second = (runs.run("remembering_launch_plan", key=key) for _ in range(2))
    assert runs.outputs(first) == runs.outputs(second)
    # Clients follow the node to its execution, so that is what it says; of the cache tells its history.
    child = runs.nodes(first)["n0"].closure.workflow_node_metadata.executionId.name
    assert runs.execution(child).closure.phase == WorkflowExecution.SUCCEEDED
    hit = runs.nodes(second)["n0"].closure
    assert not hit.HasField("workflow_node_metadata")
    assert hit.task_node_metadata.cache_status == HIT
    key_found = hit.task_node_metadata.catalog_key
    assert key_found.dataset_id.name == "flightlog_launch_plan-cached.inner_plan"
    assert key_found.source_task_execution.task_id.resource_type == LAUNCH_PLAN
    assert runs.synced(second).outputs["o0"] == runs.synced(first).outputs["o0"]


@pytest.mark.parametrize("name", ["workflow_alone", "launch_plan_alone"])
def test_of_several_at_once_one_runs_it(runs: Runs, key: str, name: str) -> None:
    names = [runs.start(name, key=key) for _ in range(4)]
    closures = [runs.nodes(runs.end(name))["n0"].closure for name in names]
    assert len({runs.outputs(name).SerializeToString() for name in names}) == 1
    assert [closure.task_node_metadata.cache_status for closure in closures].count(HIT) == 3


def test_elements_that_run_a_launch_plan_are_found_one_by_one(runs: Runs, key: str) -> None:
    first = runs.run("mapped_launch_plan", keys=[f"{key}-{number}" for number in range(2)])
    second = runs.run("mapped_launch_plan", keys=[f"{key}-{number}" for number in range(3)])
    made, found = (runs.outputs(name).literals["o0"].collection.literals for name in (first, second))
    assert list(found[:2]) == list(made)
    assert runs.elements(first) == [POPULATED] * 2
    assert runs.elements(second) == [HIT, HIT, POPULATED]


def test_nodes_of_a_dynamic_workflow_are_found_likewise(runs: Runs, key: str) -> None:
    first, second = (runs.run("asking", key=key) for _ in range(2))
    assert runs.outputs(first) == runs.outputs(second)
    nodes = {node.metadata.spec_node_id: node.closure for node in runs.children(second, "n0")}
    found = {name: closure.task_node_metadata.cache_status for name, closure in nodes.items() if "dn" in name}
    assert found == {"dn0": HIT, "dn1": HIT}


def test_what_fails_shows_nothing_of_the_cache(runs: Runs, key: str) -> None:
    """As Flyte stores it: a status without a key is not kept (engine-semantics §4.5)."""
    for _ in range(2):
        name = runs.start("failing", key=key)
        assert runs.phase_at_end(name) == WorkflowExecution.FAILED
        assert runs.status(name) == CatalogCacheStatus.CACHE_DISABLED


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(POLL.total_seconds())
