"""What happens while the API takes no objects (k8s-contract T72-T81): nothing is lost, no retry burnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flyteidl.core import execution_pb2

from flightlog_cluster.cluster import Cluster
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD, Kind, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.runtime import Origin, Scheduled
from tests.kubernetes.asking import until
from tests.kubernetes.gate import gate_to
from tests.kubernetes.launching import Launching, task

QUEUED, WAITING = AttemptObserved.QUEUED, AttemptObserved.WAITING_FOR_RESOURCES
NOT_LAUNCHED, EXITED, KILLED = AttemptObserved.NOT_LAUNCHED, AttemptObserved.EXITED, AttemptObserved.KILLED
USER, SYSTEM = execution_pb2.ExecutionError.USER, execution_pb2.ExecutionError.SYSTEM
POLICY = Kind(
    "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False
)
BINDING = Kind(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    namespaced=False,
)
BARE_POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
NODE_IS_NOT = "!('node-id' in object.metadata.labels) || object.metadata.labels['node-id'] != '{}'"


class Counting:
    """Counts the pods that a launcher asks the API for."""

    def __init__(self, api: Api) -> None:
        self.creates: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._api = api

    async def create(self, kind: Kind, namespace: str | None, manifest: Object, **options: Any) -> Object:
        if kind == POD:
            self.creates.append(manifest["metadata"]["name"])
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._api.create(kind, namespace, manifest, **options)
        finally:
            self.at_once -= kind == POD

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)


async def test_pod_without_quota_waits_until_another_is_gone(launching: Launching) -> None:
    """T72."""
    await launching.quota(limits_cpu="2")
    counting = Counting(launching.api)
    async with launching.launcher(api=counting):  # pyright: ignore[reportArgumentType]
        first = await launching.schedule(task(cpu="1"))
        await launching.until(first, QUEUED)
        second = await launching.schedule(task(cpu="1500m"))
        waiting = await launching.until(second, WAITING)
        assert waiting.reason.startswith("Exceeded resourcequota:")
        await until(lambda: counting.creates.count(second.generated_name) >= 3)
        # The same again is not said again.
        assert (await launching.stages(second)).count("WAITING_FOR_RESOURCES") == 1
        await launching.api.delete(POD, launching.namespace, first.generated_name, grace_seconds=0)
        await launching.until(second, QUEUED)
        await launching.runs(second)


async def test_small_pod_goes_before_a_large_one_that_has_no_room(launching: Launching) -> None:
    """T75."""
    await launching.quota(limits_cpu="2")
    slow = {"backoff_first_seconds": 3600.0, "backoff_longest_seconds": 3600.0}
    counting = Counting(launching.api)
    async with launching.launcher(api=counting, launching=slow):  # pyright: ignore[reportArgumentType]
        first = await launching.schedule(task(cpu="1500m"))
        await launching.until(first, QUEUED)
        large = await launching.schedule(task(cpu="1"))
        await launching.until(large, WAITING)
        as_large = await launching.schedule(task(cpu="1"))
        small = await launching.schedule(task(cpu="100m"))
        await launching.until(small, QUEUED)
        assert await launching.stages(large) == ["WAITING_FOR_RESOURCES"]
    # T72: one create for each step of the waiting, whoever waits.
    assert counting.creates == [fact.generated_name for fact in (first, large, small)]
    assert await launching.pod(as_large) is None


async def test_no_more_are_made_at_once_than_may_be(launching: Launching) -> None:
    """k8s-contract §9.6: creates are bounded, whatever stands in line."""
    counting = Counting(launching.api)
    facts = [await launching.attempt() for _ in range(30)]
    async with launching.launcher(api=counting, launching={"creates_at_once": 3}) as runtime:  # pyright: ignore[reportArgumentType]
        for fact in facts:
            await runtime.launch(Scheduled(fact, Origin("event", "correlation")))
        for fact in facts:
            await launching.until(fact, QUEUED)
    assert sorted(counting.creates) == sorted(fact.generated_name for fact in facts)
    assert counting.most_at_once == 3


async def test_what_a_quota_never_gives_fails_and_what_equals_it_waits(launching: Launching) -> None:
    """T74, and T73 of a device."""
    await launching.quota(**{"requests_nvidia_com/gpu": "1"})
    async with launching.launcher():
        two = await launching.schedule(task(gpu="2"))
        ended = await launching.end(two)
        assert (ended.stage, ended.error.code) == (NOT_LAUNCHED, "ResourceRequestsExceedLimits")
        assert not ended.recoverable
        one = await launching.schedule(task(gpu="1"))
        await launching.until(one, QUEUED)
        same = await launching.schedule(task(gpu="1"))
        await launching.until(same, WAITING)


async def test_aborted_while_it_waits_for_quota_it_is_never_made(launching: Launching) -> None:
    await launching.quota(pods="0")
    counting = Counting(launching.api)
    async with launching.launcher(api=counting):  # pyright: ignore[reportArgumentType]
        fact = await launching.schedule()
        ended = await launching.end(fact)
        # None is ever let in: that is no waiting.
        assert ended.error.code == "ResourceRequestsExceedLimits"
    await launching.api.delete(Kind("v1", "ResourceQuota", "resourcequotas"), launching.namespace, "q")
    await launching.quota(pods="1")
    async with launching.launcher(api=counting):  # pyright: ignore[reportArgumentType]
        first, second = await launching.schedule(), await launching.schedule()
        made = await until(lambda: whichever(launching, QUEUED, first, second))
        waits = second if made is first else first
        await launching.until(waits, WAITING)
        await launching.abort(waits)
        assert (await launching.end(waits)).stage == KILLED
        assert await launching.pod(waits) is None


async def whichever(launching: Launching, stage: AttemptObserved.Stage, *facts: Any) -> Any:
    for fact in facts:
        if any(item.stage == stage for item in await launching.observed(fact)):
            return fact
    return None


async def test_policy_that_denies_is_the_users_to_retry(launching: Launching) -> None:
    """T76, and T77 of what a policy calls invalid."""
    name = f"deny-{launching.project}"
    policy = {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.kind,
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ]
            },
            "validations": [
                {
                    "expression": NODE_IS_NOT.format("no"),
                    "message": "not here",
                    "reason": "Forbidden",
                },
                {
                    "expression": NODE_IS_NOT.format("bad"),
                    "message": "bad",
                    "reason": "Invalid",
                },
            ],
        },
    }
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": launching.namespace}}}
    binding = {
        "apiVersion": BINDING.api_version,
        "kind": BINDING.kind,
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": selector},
    }
    await launching.api.create(POLICY, None, policy)
    await launching.api.create(BINDING, None, binding)
    probe: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": {"node-id": "no"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }

    async def in_force() -> bool:
        try:
            await launching.api.create(POD, launching.namespace, probe, dry_run=True)
        except ApiRefused as refusal:
            return "not here" in refusal.message
        return False

    await until(in_force)
    try:
        async with launching.launcher():
            denied = await launching.end(await launching.schedule(node="no"))
            assert (denied.stage, denied.error.code, denied.error.kind) == (NOT_LAUNCHED, "RuntimeFailure", USER)
            assert denied.recoverable
            invalid = await launching.end(await launching.schedule(node="bad"))
            assert (invalid.error.code, invalid.recoverable) == ("BadTaskFormat", False)
    finally:
        await launching.api.delete(BINDING, None, name)
        await launching.api.delete(POLICY, None, name)


async def test_pod_security_that_denies_is_the_users_to_retry(launching: Launching) -> None:
    """T78."""
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await launching.api.patch(NAMESPACE, None, launching.namespace, labels)

    async def in_force() -> bool:
        try:
            await launching.api.create(POD, launching.namespace, BARE_POD, dry_run=True)
        except ApiRefused as refusal:
            return "PodSecurity" in refusal.message
        return False

    await until(in_force)
    async with launching.launcher():
        ended = await launching.end(await launching.schedule())
        assert (ended.error.code, ended.recoverable) == ("RuntimeFailure", True)


async def test_pod_that_is_no_pod_is_not_tried_again(launching: Launching) -> None:
    """T77."""
    async with launching.launcher():
        template = task()
        template.container.env.add(key="=", value="x")
        ended = await launching.end(await launching.schedule(template))
        assert (ended.stage, ended.error.code, ended.recoverable) == (NOT_LAUNCHED, "BadTaskFormat", False)


async def test_missing_namespace_is_waited_for_and_asked_for(launching: Launching) -> None:
    """T79."""
    asked: list[tuple[str, str]] = []
    fact = await launching.attempt()
    namespace = f"{launching.project}-late"
    fact.execution_id.domain = "late"

    async def make(project: str, domain: str) -> None:
        asked.append((project, domain))
        if len(asked) > 1:
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            await launching.api.create(NAMESPACE, None, manifest)

    async with launching.launcher(make_namespace=make) as runtime:
        await runtime.launch(Scheduled(fact, Origin("event", "correlation")))

        async def made() -> bool:
            return bool((await launching.api.list(POD, namespace)).items)

        await until(made)
        assert set(asked) == {(launching.project, "late")}
        await launching.api.delete(NAMESPACE, None, namespace)


async def test_namespace_that_nobody_makes_is_nobodys_fault_after_a_while(launching: Launching) -> None:
    fact = await launching.attempt()
    reported: list[AttemptObserved] = []

    async def report(observed: AttemptObserved, _: Origin) -> None:
        reported.append(observed)

    fact.execution_id.domain = "nowhere"
    async with launching.launcher(report=report, launching={"patience_minutes": 0.001}) as runtime:
        await runtime.launch(Scheduled(fact, Origin("event", "correlation")))
        await until(lambda: [item for item in reported if item.stage == NOT_LAUNCHED])
    ended = reported[-1]
    assert (ended.error.code, ended.error.kind, ended.recoverable) == ("RuntimeFailure", SYSTEM, True)
    assert f"namespace {launching.project}-nowhere is missing" in reported[0].reason


async def test_nothing_is_lost_while_the_api_is_away(
    launching: Launching, cluster: Cluster, kubernetes_settings: KubernetesSettings, tmp_path: Path
) -> None:
    """T81."""
    async with gate_to(cluster, tmp_path) as gate:
        api = await Api.open(kubernetes_settings.model_copy(update={"kubeconfig": gate.kubeconfig}))
        async with launching.launcher(api=api):
            before = [await launching.schedule() for _ in range(20)]
            for fact in before:
                await launching.runs(fact)
            said = [await launching.stages(fact) for fact in before]
            await gate.close()
            meanwhile = [await launching.schedule() for _ in range(5)]
            unwanted = before[-1]
            await launching.abort(unwanted)
            for fact in before[:10]:
                await launching.succeeds(fact)
            waiting = await launching.until(meanwhile[0], WAITING)
            assert "unreachable" in waiting.reason
            assert [await launching.stages(fact) for fact in before] == said
            await gate.open()
            for fact in before[:10]:
                assert (await launching.end(fact)).stage == EXITED
            for fact in meanwhile:
                await launching.until(fact, QUEUED)
            assert (await launching.end(unwanted)).stage == KILLED
            assert [await launching.stages(fact) for fact in before[10:-1]] == said[10:-1]
        await api.close()
    expected = {fact.generated_name for fact in (*before[:-1], *meanwhile)}
    await until(lambda: same_pods(launching, expected))


async def same_pods(launching: Launching, expected: set[str]) -> bool:
    return set(await launching.pods()) == expected


async def test_no_more_are_in_flight_than_may_be(launching: Launching) -> None:
    async with launching.launcher(launching={"max_in_flight": 2}):
        facts = [await launching.schedule() for _ in range(4)]
        await until(lambda: all_are_told(launching, facts))
        done: list[str] = []
        while len(done) < len(facts):
            live = await until(lambda: live_pods(launching, facts, done))
            assert len(live) <= 2
            fact = live[0]
            await launching.runs(fact)
            await launching.succeeds(fact)
            await launching.end(fact)
            done.append(fact.generated_name)
    assert len(await launching.pods()) == 4


async def all_are_told(launching: Launching, facts: list[Any]) -> bool:
    return all([await launching.observed(fact) for fact in facts])


async def live_pods(launching: Launching, facts: list[Any], done: list[str]) -> list[Any]:
    names = set(await launching.pods()) - set(done)
    return [fact for fact in facts if fact.generated_name in names]


@pytest.mark.parametrize("order", ["quota", "limit"])
async def test_order_within_a_project_is_kept(launching: Launching, order: str) -> None:
    counting = Counting(launching.api)
    if order == "quota":
        await launching.quota(pods="1")
    settings = {"max_in_flight": 1} if order == "limit" else {"creates_at_once": 1}
    async with launching.launcher(api=counting, launching=settings):  # pyright: ignore[reportArgumentType]
        execution = "e" + launching.project
        facts = [await launching.attempt(execution=execution, node=f"n{number}") for number in range(4)]
        for fact in facts:
            await launching.append(execution, fact)
            await until(lambda fact=fact: launching.observed(fact))
        for fact in facts:
            await launching.runs(fact)
            await launching.succeeds(fact)
            await launching.end(fact)
    first_tries = list(dict.fromkeys(counting.creates))
    assert first_tries[0] == facts[0].generated_name
    assert await launching.pods() == sorted(fact.generated_name for fact in facts)
