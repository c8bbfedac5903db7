"""Attempts that operators run, and queues, with the launcher at work on a real cluster (k8s-contract T93-T95, T114,
T116). The tests say what the operators, Kueue and Volcano would say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from flyteidl.core import execution_pb2, tasks_pb2

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.objects import POD, Kind, Object
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from services.k8s_launcher.kubernetes.queueing.volcano import POD_GROUP
from tests.kubernetes.asking import CRD, is_served, until
from tests.kubernetes.defining import kind_of
from tests.kubernetes.launching import Launching, task
from tests.unit.kubernetes.plugins import serialised

QUEUED, INITIALIZING, RUNNING = AttemptObserved.QUEUED, AttemptObserved.INITIALIZING, AttemptObserved.RUNNING
EXITED, FAILED, KILLED = AttemptObserved.EXITED, AttemptObserved.FAILED, AttemptObserved.KILLED
SYSTEM = execution_pb2.ExecutionError.SYSTEM
QUEUE = "kueue.x-k8s.io/queue-name"
KUEUE = {"queueing": {"kind": "kueue", "rules": [{"queue": "research"}], "suspend": True}}
VOLCANO = {"queueing": {"kind": "volcano", "rules": [{"queue": "research"}], "pod_groups": ["Pod"]}}


def _kind(task_type: str) -> Kind:
    return next(each.plugin.kind for each in OPERATORS if task_type in each.task_types)


def _ray() -> tasks_pb2.TaskTemplate:
    return serialised.template("ray_plain")


async def _made(launching: Launching, kind: Kind, name: str) -> Object:
    found = await until(lambda: launching.thing(kind, name))
    assert found is not None
    return found


async def _say(launching: Launching, kind: Kind, name: str, status: Mapping[str, Any], **spec: Any) -> None:
    """Be the operator, and with `spec` be Kueue."""
    current = await _made(launching, kind, name)
    if spec:
        changed = {**current, "spec": {**current["spec"], **spec}}
        current = await launching.api.replace(kind, launching.namespace, changed)
    await launching.api.replace(kind, launching.namespace, {**current, "status": dict(status)}, subresource="status")


async def test_ray_job_that_fails_is_reported_and_goes(operators: Api, launching: Launching) -> None:
    kind = _kind("ray")
    async with launching.launcher(api=operators):
        fact = await launching.schedule(_ray())
        name = fact.generated_name
        made = await _made(launching, kind, name)
        assert made["metadata"]["ownerReferences"][0]["kind"] == "ConfigMap"
        await _say(launching, kind, name, {"jobDeploymentStatus": "Initializing"})
        await launching.until(fact, INITIALIZING)
        await _say(launching, kind, name, {"jobDeploymentStatus": "Running", "rayClusterName": "c"})
        assert (await launching.until(fact, RUNNING)).custom_info["rayClusterName"] == "c"
        await _say(launching, kind, name, {"jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "m"})
        ended = await launching.end(fact)
        await until(lambda: _gone(launching, kind, name))
    assert (ended.stage, ended.error.code, ended.error.kind) == (FAILED, "TaskFailedWithError", SYSTEM)
    assert (ended.recoverable, ended.plugin) == (True, "ray")


async def _gone(launching: Launching, kind: Kind, name: str) -> bool:
    return await launching.thing(kind, name) is None


def _conditions(*kinds: str) -> Mapping[str, Any]:
    return {
        "startTime": "2026-01-01T12:00:00Z",
        "replicaStatuses": {},
        "conditions": [
            {
                "type": kind,
                "status": "True" if place == len(kinds) - 1 else "False",
                "lastTransitionTime": f"2026-01-01T12:00:0{place}Z",
            }
            for place, kind in enumerate(kinds)
        ],
    }


async def test_job_waits_in_its_queue_runs_and_waits_again(operators: Api, launching: Launching) -> None:
    kind = _kind("pytorch")
    async with launching.launcher(api=operators, **KUEUE):
        fact = await launching.schedule(serialised.template("pytorch_plain"))
        made = await _made(launching, kind, fact.generated_name)
        assert made["metadata"]["labels"][QUEUE] == "research"
        assert made["spec"]["runPolicy"]["suspend"] is True
        await until(lambda: _last(launching, fact, QUEUED, "Suspended"))
        running = {**made["spec"]["runPolicy"], "suspend": False}
        await _say(launching, kind, fact.generated_name, _conditions("Created", "Running"), runPolicy=running)
        await until(lambda: _last(launching, fact, RUNNING))
        stopped = {**running, "suspend": True}
        status = _conditions("Created", "Running", "Suspended")
        await _say(launching, kind, fact.generated_name, status, runPolicy=stopped)
        await until(lambda: _last(launching, fact, QUEUED, "Suspended"))
        status = _conditions("Created", "Running", "Suspended", "Running", "Succeeded")
        await _say(launching, kind, fact.generated_name, status, runPolicy=running)
        assert (await launching.end(fact)).stage == EXITED
    stages = await launching.stages(fact)
    assert stages.index("RUNNING") < len(stages) - 1 - stages[::-1].index("QUEUED")


async def _last(launching: Launching, fact: Any, stage: AttemptObserved.Stage, reason: str = "") -> bool:
    seen = await launching.observed(fact)
    return bool(seen) and seen[-1].stage == stage and reason in seen[-1].reason


async def test_t114_queue_of_an_executions_labels_is_on_a_ray_job_and_its_pods(
    operators: Api, launching: Launching
) -> None:
    async with launching.launcher(api=operators):
        fact = await launching.schedule(_ray(), labels={QUEUE: "mine"})
        made = await _made(launching, _kind("ray"), fact.generated_name)
    cluster = made["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    templates = [made["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]
    assert [each["metadata"]["labels"][QUEUE] for each in (made, *templates)] == ["mine"] * 4


async def test_pod_that_kueue_takes_away_is_tried_again_in_the_same_queue(launching: Launching) -> None:
    """T116."""
    held = {"metadata": {"finalizers": ["kueue.x-k8s.io/managed"]}}
    async with launching.launcher():
        first = await launching.schedule(labels={QUEUE: "mine"})
        await launching.runs(first)
        await launching.api.patch(POD, launching.namespace, first.generated_name, held)
        condition = {"type": "TerminationTarget", "status": "True", "reason": "WorkloadEvictedDueToPreempted"}
        current = await launching.pod(first)
        assert current is not None
        await launching.play(first, conditions=[*(current["status"].get("conditions") or []), condition])
        await launching.api.delete(POD, launching.namespace, first.generated_name, grace_seconds=0)
        ended = await launching.end(first)
        assert (ended.stage, ended.error.kind, ended.recoverable) == (FAILED, SYSTEM, True)
        execution = first.execution_id.name
        second = await launching.schedule(execution=execution, attempt=1, labels={QUEUE: "mine"})
        made = await _made(launching, POD, second.generated_name)
        assert made["metadata"]["labels"][QUEUE] == "mine"
        assert second.generated_name != first.generated_name
        await launching.api.patch(POD, launching.namespace, first.generated_name, {"metadata": {"finalizers": None}})


async def test_group_of_a_pod_comes_before_it_and_goes_with_it(operators: Api, launching: Launching) -> None:
    async with launching.launcher(api=operators, **VOLCANO):
        fact = await launching.schedule(task(cpu="1"))
        pod = await _made(launching, POD, fact.generated_name)
        group = await launching.thing(POD_GROUP, fact.generated_name)
        assert group is not None
        assert (group["spec"]["queue"], group["spec"]["minMember"]) == ("research", 1)
        assert pod["metadata"]["annotations"]["scheduling.k8s.io/group-name"] == fact.generated_name
        await launching.until(fact, QUEUED)
        await launching.abort(fact)
        assert (await launching.end(fact)).stage == KILLED
        await until(lambda: _gone(launching, POD_GROUP, fact.generated_name))


@asynccontextmanager
async def _without(api: Api, name: str) -> AsyncIterator[None]:
    """Take a definition away while the block runs."""
    definition = await api.get(CRD, None, name)
    await api.delete(CRD, None, name)
    await until(lambda: _undefined(api, name))
    try:
        yield
    finally:
        again = {**definition, "metadata": {"name": name}}
        again.pop("status", None)
        await api.create(CRD, None, again)
        await until(lambda: is_served(api, kind_of(definition)))


async def _undefined(api: Api, name: str) -> bool:
    try:
        await api.get(CRD, None, name)
    except ApiRefused as refusal:
        if not refusal.not_found:
            raise
        return True
    return False


@pytest.mark.parametrize("known", [False, True], ids=["never there", "there a moment ago"])
@pytest.mark.parametrize("missing", ["daskjobs.kubernetes.dask.org", "podgroups.scheduling.volcano.sh"])
async def test_operator_that_is_missing_is_named(
    operators: Api, launching: Launching, missing: str, known: bool
) -> None:
    dask = missing.startswith("dask")
    template = serialised.template("dask_plain") if dask else task()
    kind = kind_of(await operators.get(CRD, None, missing))
    async with AsyncExitStack() as stack:
        fresh = await stack.enter_async_context(_newly_opened(launching))
        await until(lambda: _says_it_has(launching, kind))
        # What is known is remembered for a while.
        assert not known or await fresh.has(kind)
        await stack.enter_async_context(_without(operators, missing))
        if not known:
            await until(lambda: _says_it_has(launching, kind, False))
        await stack.enter_async_context(launching.launcher(api=fresh, **({} if dask else VOLCANO)))
        fact = await launching.schedule(template)
        ended = await launching.end(fact)
    assert (ended.stage, ended.error.code) == (AttemptObserved.NOT_LAUNCHED, "OperatorNotInstalled")
    assert not ended.recoverable
    assert missing in ended.error.message
    assert ("Dask" if dask else "Volcano") in ended.error.message


async def _says_it_has(launching: Launching, kind: Kind, wanted: bool = True) -> bool:
    """Whether the API says that it has a kind, or has none: it says so some moments after that is so."""
    async with _newly_opened(launching) as asking:
        return await asking.has(kind) is wanted


@asynccontextmanager
async def _newly_opened(launching: Launching) -> AsyncIterator[Api]:
    opened = await Api.open(launching.settings.kubernetes)
    try:
        yield opened
    finally:
        await opened.close()
