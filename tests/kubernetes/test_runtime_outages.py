"""Launching while the cluster cannot: no namespace, too much to do, no API (k8s-contract T79-T81)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

from prometheus_client import REGISTRY

from flightlog_cluster.cluster import Cluster
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD
from tests.kubernetes.asking import compact, restart_api_server, until
from tests.kubernetes.launching import Launching
from tests.kubernetes.overload import overloaded

QUEUED, RUNNING = AttemptObserved.QUEUED, AttemptObserved.RUNNING
EXITED, FAILED, WAITING = AttemptObserved.EXITED, AttemptObserved.FAILED, AttemptObserved.WAITING_FOR_RESOURCES


def counted(verb: str, kind: str = "Pod", code: str = "201") -> float:
    labels = {"verb": verb, "kind": kind, "code": code}
    return REGISTRY.get_sample_value("flightlog_kubernetes_requests_total", labels) or 0.0


def calls() -> dict[tuple[str, str], float]:
    """Calls that this process made, by verb and kind."""
    found: dict[tuple[str, str], float] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            if sample.name == "flightlog_kubernetes_requests_total":
                key = sample.labels["verb"], sample.labels["kind"]
                found[key] = found.get(key, 0.0) + sample.value
    return found


async def test_a_missing_namespace_is_waited_for(launching: Launching) -> None:
    """T79."""
    missing = f"{launching.namespace}-later"
    async with launching.launcher(namespace_template="{project}-{domain}-later"):
        facts = [await launching.schedule() for _ in range(3)]
        for fact in facts:
            waiting = await launching.until(fact, WAITING)
            assert missing in waiting.reason
        try:
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": missing}}
            await launching.api.create(NAMESPACE, None, manifest)
            for fact in facts:
                await launching.until(fact, QUEUED)
                assert set(await launching.stages(fact)) == {"WAITING_FOR_RESOURCES", "QUEUED"}
            pods = (await launching.api.list(POD, missing)).items
            assert {pod["metadata"]["name"] for pod in pods} == {fact.generated_name for fact in facts}
        finally:
            await launching.api.delete(NAMESPACE, None, missing)


async def test_an_api_that_is_asked_too_much_is_asked_later(
    cluster: Cluster, launching: Launching, tmp_path: Path
) -> None:
    """T80."""
    async with overloaded(cluster, tmp_path) as (busy, overload), launching.launcher(api=busy):
        overload.kinds.add(POD)
        facts = [await launching.schedule() for _ in range(3)]
        for fact in facts:
            waiting = await launching.until(fact, WAITING)
            assert "Too many requests" in waiting.reason
        seen = overload.refused
        await until(lambda: overload.refused > seen)
        assert await launching.pods() == []
        overload.kinds.clear()
        for fact in facts:
            await launching.runs(fact)
            await launching.succeeds(fact)
            assert (await launching.end(fact)).stage == EXITED
            assert set(await launching.stages(fact)) == {"WAITING_FOR_RESOURCES", "QUEUED", "RUNNING", "EXITED"}


async def test_an_api_server_that_is_away_costs_no_attempt(cluster: Cluster, launching: Launching) -> None:
    """T81: the API server is killed, etcd forgets what was: 50 pods go on, and what came meanwhile is done."""
    async with launching.launcher():
        execution = f"e{uuid4().hex[:18]}"
        # What is there is listed once, at the beginning.
        first = await launching.schedule(execution=execution, node="first")
        await launching.until(first, QUEUED)
        before = calls()
        facts = [await launching.schedule(execution=execution, node=f"n{number}") for number in range(50)]
        await asyncio.gather(*(launching.runs(fact) for fact in facts))
        said = {fact.generated_name: await launching.stages(fact) for fact in facts}
        # One call for each pod, and none to see how they are. The patches are the test's own: it plays the kubelet.
        cost = {key: now - before.get(key, 0.0) for key, now in calls().items() if now > before.get(key, 0.0)}
        of_pods = {key: cost[key] for key in cost if key[1] in {"Pod", "ConfigMap"} and key[0] != "watch"}
        assert of_pods == {("create", "Pod"): 50, ("patch", "Pod"): 50}
        # One watch for all of them, which may have come to its regular end.
        assert cost.get(("watch", "Pod"), 0) <= 1

        await cluster.kill("kube-apiserver")
        failures = counted("watch", code="unreachable")
        meanwhile = [await launching.schedule(execution=execution, node=f"m{number}") for number in range(5)]
        for fact in meanwhile:
            await launching.until(fact, WAITING)
        await launching.abort(facts[49], "not wanted")
        await until(lambda: counted("watch", code="unreachable") >= failures + 3)
        for fact in facts[:49]:
            assert await launching.stages(fact) == said[fact.generated_name]
        await compact(cluster)
        await restart_api_server(cluster)

        for fact in facts[:20]:
            await launching.succeeds(fact)
        for fact in facts[20:25]:
            await launching.api.delete(POD, launching.namespace, fact.generated_name, grace_seconds=0)
        assert await ends(launching, facts[:20]) == {(EXITED, "")}
        # Being deleted was seen of some, being gone of others.
        gone = await ends(launching, facts[20:25])
        assert gone <= {(FAILED, "ResourceDeletedExternally"), (FAILED, "UnexpectedObjectDeletion")}
        assert await ends(launching, facts[49:]) == {(AttemptObserved.KILLED, "")}
        for fact in meanwhile:
            await launching.runs(fact)
        for fact in facts[25:49]:
            assert await launching.stages(fact) == said[fact.generated_name]
        await until(lambda: orders_left(launching, 1 + 24 + 5))


async def ends(launching: Launching, facts: list[AttemptScheduled]) -> set[tuple[AttemptObserved.Stage, str]]:
    observed = [await launching.end(fact) for fact in facts]
    return {(each.stage, each.error.code) for each in observed}


async def orders_left(launching: Launching, count: int) -> bool:
    return len(await launching.kept()) == count


async def test_pods_that_end_while_the_api_server_restarts(cluster: Cluster, launching: Launching) -> None:
    """Just before it was killed, and as soon as it is there again; meanwhile etcd forgot what was."""
    async with launching.launcher():
        before, after = await launching.schedule(), await launching.schedule()
        for fact in (before, after):
            await launching.runs(fact)
        await launching.succeeds(before)
        await cluster.kill("kube-apiserver")
        await compact(cluster)
        await restart_api_server(cluster)
        await launching.succeeds(after)
        for fact in (before, after):
            assert (await launching.end(fact)).stage == EXITED
