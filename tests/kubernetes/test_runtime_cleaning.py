"""What is left behind, and for how long (k8s-contract §1.14, §2.8, §10.2, §10.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import CONFIG_MAP, POD, Object
from services.k8s_launcher.kubernetes.owners import owner_name
from services.k8s_launcher.kubernetes.plugins.operators import OPERATORS
from services.k8s_launcher.orders import Order, Orders
from services.k8s_launcher.runtime import AttemptKey, Origin, Scheduled
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching
from tests.unit.kubernetes.plugins import serialised

QUEUED, EXITED, FAILED = AttemptObserved.QUEUED, AttemptObserved.EXITED, AttemptObserved.FAILED
AT_ONCE = {"cleaning": {"keep_finished_hours": 0}}


async def owner_of(launching: Launching, fact: Any) -> Object | None:
    return await launching.thing(CONFIG_MAP, owner_name(fact.execution_id.name))


async def is_gone(launching: Launching, fact: Any) -> bool:
    return await launching.pod(fact) is None


async def fails(launching: Launching, fact: Any) -> None:
    await launching.play(fact, phase="Failed", reason="Evicted", message="no more room")
    assert (await launching.end(fact)).stage == FAILED


async def test_objects_of_an_execution_belong_to_one_config_map(launching: Launching) -> None:
    async with launching.launcher():
        first = await launching.schedule()
        second = await launching.schedule(execution=first.execution_id.name, node="n1")
        for fact in (first, second):
            await launching.until(fact, QUEUED)
        owner = await owner_of(launching, first)
        assert owner is not None
        for fact in (first, second):
            pod = await launching.pod(fact)
            assert pod is not None
            (reference,) = pod["metadata"]["ownerReferences"]
            assert reference["uid"] == owner["metadata"]["uid"]
            # With one, Kueue would take the pod for somebody else's.
            assert "controller" not in reference
        await launching.api.delete(CONFIG_MAP, launching.namespace, owner["metadata"]["name"])
        for fact in (first, second):
            await until(lambda fact=fact: is_gone(launching, fact))


async def test_config_map_that_was_deleted_is_made_again(launching: Launching) -> None:
    async with launching.launcher():
        first = await launching.schedule()
        await launching.until(first, QUEUED)
        name = owner_name(first.execution_id.name)
        await launching.api.delete(CONFIG_MAP, launching.namespace, name)
        await launching.end(first)
        second = await launching.schedule(execution=first.execution_id.name, attempt=1)
        await launching.runs(second)
        pod, owner = await launching.pod(second), await owner_of(launching, second)
        assert pod is not None
        assert owner is not None
        assert pod["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]


async def test_of_a_nodes_attempts_the_last_ones_object_stays(launching: Launching) -> None:
    async with launching.launcher():
        first = await launching.schedule()
        await launching.runs(first)
        await fails(launching, first)
        other = await launching.schedule(execution=first.execution_id.name, node="n1")
        await launching.until(other, QUEUED)
        second = await launching.schedule(execution=first.execution_id.name, attempt=1)
        await until(lambda: is_gone(launching, first))
        await launching.runs(second)
        await fails(launching, second)
    assert await launching.pods() == sorted([second.generated_name, other.generated_name])


async def test_objects_stay_after_the_end_until_their_time_is_over(launching: Launching) -> None:
    async with launching.launcher() as runtime:
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.succeeds(fact)
        await launching.end(fact)
        await launching.succeed(fact.execution_id.name)

        async def noted() -> bool:
            owner = await owner_of(launching, fact)
            return owner is not None and "flightlog.dev/ended-at" in owner["metadata"]["annotations"]

        await until(noted)
        await runtime.cleaning.sweep()
        assert not await is_gone(launching, fact)
    async with launching.launcher(**AT_ONCE):
        await until(lambda: is_gone(launching, fact))
    assert await owner_of(launching, fact) is None


async def test_end_that_nobody_noted_is_found_on_the_log(launching: Launching) -> None:
    async with launching.launcher():
        ended, goes_on = await launching.schedule(), await launching.schedule()
        for fact in (ended, goes_on):
            await launching.runs(fact)
            await launching.succeeds(fact)
            await launching.end(fact)
    await launching.succeed(ended.execution_id.name)
    # Whoever consumed the end died before it was noted.
    launching.durable = f"{launching.durable}-other"
    async with launching.launcher(**AT_ONCE):
        await until(lambda: is_gone(launching, ended))
        assert not await is_gone(launching, goes_on)


async def test_success_whose_sidecars_go_on_holds_no_node(launching: Launching) -> None:
    async with launching.launcher():
        fact = await launching.schedule()
        await launching.until(fact, QUEUED)
        ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        main = {"terminated": {"exitCode": 0, "finishedAt": ended}}
        status = {"image": "i", "imageID": "", "restartCount": 0, "ready": False}
        await launching.play(
            fact,
            phase="Running",
            containerStatuses=[
                {"name": fact.generated_name, "state": main, **status},
                {"name": "sidecar", "state": {"running": {"startedAt": ended}}, **status},
            ],
        )
        assert (await launching.end(fact)).stage == EXITED
        await until(lambda: is_gone(launching, fact))


async def test_pod_that_goes_on_after_its_execution_is_removed(launching: Launching) -> None:
    async with launching.launcher():
        orphan, wanted = await launching.schedule(), await launching.schedule()
        for fact in (orphan, wanted):
            await launching.runs(fact)
    (order,) = [order for order in await launching.kept() if order.key.execution == orphan.execution_id.name]
    await Orders(launching.log).drop(order)
    await launching.succeed(orphan.execution_id.name)
    async with launching.launcher():
        await until(lambda: is_gone(launching, orphan))
        assert not await is_gone(launching, wanted)


async def test_operators_object_that_has_ended_stays_after_its_execution(operators: Api, launching: Launching) -> None:
    """Its own status is the operator's language; that the attempt has ended is on the log."""
    kind = next(each.plugin.kind for each in OPERATORS if "ray" in each.task_types)
    async with launching.launcher(api=operators) as runtime:
        ended, goes_on = [await launching.schedule(serialised.template("ray_plain")) for _ in range(2)]
        for fact in (ended, goes_on):
            await launching.until(fact, QUEUED)
        made = await launching.thing(kind, ended.generated_name)
        assert made is not None
        complete = {**made, "status": {"jobDeploymentStatus": "Complete"}}
        await launching.api.replace(kind, launching.namespace, complete, subresource="status")
        assert (await launching.end(ended)).stage == EXITED
        await until(lambda: not runtime.is_looked_after(AttemptKey.of(ended)))
    for fact in (ended, goes_on):
        await launching.succeed(fact.execution_id.name)
    (order,) = await launching.kept()
    await Orders(launching.log).drop(order)
    async with launching.launcher(api=operators):

        async def orphan_is_gone() -> bool:
            return await launching.thing(kind, goes_on.generated_name) is None

        await until(orphan_is_gone)
    assert await launching.thing(kind, ended.generated_name) is not None


async def test_abort_gives_a_pod_no_more_time_than_is_granted(launching: Launching) -> None:
    async with launching.launcher(cleaning={"abort_grace_seconds": 7}):
        fact = await launching.attempt()
        fact.pod_template.primary_container_name = fact.generated_name
        await launching.append(fact.execution_id.name, fact)
        await launching.runs(fact)
        hold = {"metadata": {"finalizers": ["flightlog.test/hold"]}}
        await launching.api.patch(POD, launching.namespace, fact.generated_name, hold)
        # A pod that is on a node has time to end; one that is on none goes at once.
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": fact.generated_name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"},
        }
        await launching.api.create(POD, launching.namespace, binding, subresource="binding")
        await launching.abort(fact)
        await launching.end(fact)
        pod = await launching.pod(fact)
        assert pod is not None
        assert pod["metadata"]["deletionGracePeriodSeconds"] == 7
        await launching.api.patch(POD, launching.namespace, fact.generated_name, {"metadata": {"finalizers": None}})


async def test_what_was_kept_for_an_end_already_reported_is_dropped(launching: Launching) -> None:
    async with launching.launcher() as runtime:
        fact = await launching.schedule()
        await launching.runs(fact)
        await launching.succeeds(fact)
        await launching.end(fact)
    scheduled = Scheduled(fact, Origin("event", "correlation"))
    await Orders(launching.log).keep(Order(scheduled.key, scheduled))
    said = await launching.stages(fact)
    async with launching.launcher() as runtime:
        assert not runtime.is_looked_after(scheduled.key)
        await until(lambda: nothing_kept(launching))
    assert await launching.stages(fact) == said


async def nothing_kept(launching: Launching) -> bool:
    return not await launching.kept()


def test_owner_has_a_short_name() -> None:
    assert owner_name("a1b2c3") == "flyte-exec-a1b2c3"
    assert len(owner_name("x" * 200)) <= 63
    assert owner_name("x" * 200) != owner_name("x" * 201)
