"""What the states of real pods mean (k8s-contract §9.2): set by hand or by the real scheduler, read from the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import POD, Object, Reading, Seen
from services.k8s_launcher.kubernetes.pods.status import read_pod
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import pod, until
from tests.unit.kubernetes.pod_statuses import NOW, container, not_ready, running, terminated, waiting

NAME = "a1b2c3d4e5f6g7h8i9j0-n0-0"
USER, SYSTEM = ExecutionError.USER, ExecutionError.SYSTEM
LOGS = {"kubernetes_enabled": True}


class Pods:
    """Makes pods and plays the kubelet."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def make(self, *, primary: str | None = "main", **spec: Any) -> None:
        made = pod(NAME, **spec)
        if primary is not None:
            made["metadata"]["annotations"] = {"primary_container_name": primary}
        await self._api.create(POD, self._namespace, made)

    async def becomes(self, phase: str, *containers: Object, **status: Any) -> Object:
        """The pod with this status, as the API has it then."""
        body = {"status": {"phase": phase, "containerStatuses": list(containers), **status}}
        await self._api.patch(POD, self._namespace, NAME, body, subresource="status")
        return await self.now()

    async def now(self) -> Object:
        return await self._api.get(POD, self._namespace, NAME)


@pytest.fixture
def pods(api: Api, namespace: str) -> Pods:
    return Pods(api, namespace)


def reading(seen: Object, at: datetime = NOW, **settings: Any) -> Reading:
    configured = KubernetesSettings.model_validate(settings)
    return read_pod(Seen(seen, at, AttemptScheduled(node_id="n0", generated_name=NAME), configured))


def failure(found: Reading) -> tuple[str, int, bool, bool]:
    """Code, kind, whether another attempt may help, whether the pod is of no use."""
    assert found.stage == AttemptObserved.FAILED, found
    assert found.error is not None
    return found.error.code, found.error.kind, found.recoverable, found.of_no_use


async def test_t37_a_pod_that_was_just_made_is_queued(pods: Pods) -> None:
    await pods.make()
    assert reading(await pods.now()).stage == AttemptObserved.QUEUED


async def test_t38_t46_what_the_real_scheduler_cannot_place_is_queued_with_its_words(pods: Pods) -> None:
    await pods.make(schedulerName="default-scheduler", nodeSelector={"flightlog.test/nowhere": "here"})

    async def judged() -> Object | None:
        seen = await pods.now()
        return seen if seen["status"].get("conditions") else None

    seen = await until(judged)
    assert seen is not None
    (condition,) = seen["status"]["conditions"]
    found = reading(seen)
    assert found.stage == AttemptObserved.QUEUED
    assert found.reason == f"Unschedulable:{condition['message']}"
    assert "nodes are available" in found.reason or "no nodes available" in found.reason
    later = datetime.now(UTC) + timedelta(minutes=10)
    assert reading(seen, later).stage == AttemptObserved.QUEUED
    late = reading(seen, later, status={"pod_pending_timeout": "PT5M"})
    assert failure(late) == ("PodPendingTimeout", USER, True, True)


async def test_t115_a_gate_of_the_real_scheduler_may_last(pods: Pods) -> None:
    await pods.make(schedulerName="default-scheduler", schedulingGates=[{"name": "flightlog.test/queue"}])
    seen = await pods.now()
    (condition,) = seen["status"]["conditions"]
    assert condition["reason"] == "SchedulingGated"
    found = reading(seen, NOW + timedelta(days=9), status={"pod_pending_timeout": "PT5M"})
    assert (found.stage, found.again_at) == (AttemptObserved.QUEUED, None)
    assert found.reason.startswith("SchedulingGated:")


class TestPending:
    async def stuck(self, pods: Pods, reason: str, message: str = "", **since: float) -> Object:
        await pods.make()
        return await pods.becomes(
            "Pending", container("main", waiting(reason, message)), conditions=[not_ready(**since)]
        )

    async def test_t39_containers_being_created(self, pods: Pods) -> None:
        found = reading(await self.stuck(pods, "ContainerCreating"))
        assert found.stage == AttemptObserved.INITIALIZING
        assert found.reason == ("[ContainersNotReady|ContainerCreating]: containers with unready status: [main]|")

    async def test_t40_an_image_that_cannot_be_pulled(self, pods: Pods) -> None:
        seen = await self.stuck(pods, "ImagePullBackOff", "Back-off pulling image", minutes=1)
        early = reading(seen)
        assert early.stage == AttemptObserved.INITIALIZING
        assert early.again_at == NOW + timedelta(minutes=2)
        assert failure(reading(seen, NOW + timedelta(minutes=2))) == (
            "ContainersNotReady|ImagePullBackOff",
            USER,
            True,
            True,
        )

    async def test_t41_a_missing_secret(self, pods: Pods) -> None:
        found = reading(await self.stuck(pods, "CreateContainerConfigError", 'secret "s" not found'))
        assert failure(found) == ("ContainersNotReady|CreateContainerConfigError", USER, False, True)

    async def test_t42_a_name_that_is_no_image(self, pods: Pods) -> None:
        found = reading(await self.stuck(pods, "InvalidImageName"))
        assert failure(found) == ("ContainersNotReady|InvalidImageName", USER, False, True)

    async def test_t43_a_container_that_cannot_be_created(self, pods: Pods) -> None:
        seen = await self.stuck(pods, "CreateContainerError", "no command", minutes=2)
        assert reading(seen).stage == AttemptObserved.INITIALIZING
        late = reading(seen, NOW + timedelta(minutes=2))
        assert failure(late) == ("ContainersNotReady|CreateContainerError", USER, False, True)
        assert late.error is not None
        assert late.error.message.startswith("Grace period [3m0s] exceeded|")

    async def test_t44_a_crash_loop(self, pods: Pods) -> None:
        found = reading(await self.stuck(pods, "CrashLoopBackOff"))
        assert failure(found) == ("ContainersNotReady|CrashLoopBackOff", SYSTEM, True, True)

    async def test_t45_the_image_of_an_init_container(self, pods: Pods) -> None:
        await pods.make(initContainers=[{"name": "setup", "image": "nowhere/nothing:2"}])
        seen = await pods.becomes(
            "Pending",
            container("main", waiting("PodInitializing")),
            initContainerStatuses=[container("setup", waiting("ImagePullBackOff", "back-off"))],
            conditions=[not_ready(minutes=30)],
        )
        assert failure(reading(seen)) == ("ContainersNotReady|ImagePullBackOff", USER, True, True)


class TestRunningAndSucceeded:
    async def test_t47_running_with_a_link_to_its_log(self, pods: Pods, namespace: str) -> None:
        await pods.make()
        seen = await pods.becomes("Running", container("main", running(minutes=2)))
        found = reading(seen, logs=LOGS)
        assert (found.stage, found.occurred_at) == (AttemptObserved.RUNNING, NOW - timedelta(minutes=2))
        (link,) = found.logs
        assert link.name == "Kubernetes Logs (User)"
        assert link.uri == f"http://localhost:30082/#!/log/{namespace}/{NAME}/pod?namespace={namespace}"

    async def test_t48_success_is_what_it_wrote(self, pods: Pods) -> None:
        await pods.make()
        found = reading(await pods.becomes("Succeeded", container("main", terminated(0, "Completed"))))
        assert found.stage == AttemptObserved.EXITED
        assert found.exit is not None
        assert found.exit.code == 0

    async def test_t52_success_without_memory(self, pods: Pods) -> None:
        await pods.make()
        found = reading(await pods.becomes("Succeeded", container("main", terminated(0, "OOMKilled"))))
        assert failure(found) == ("OOMKilled", USER, True, False)


class TestFailed:
    @pytest.mark.parametrize(
        ("code", "reason", "status", "expected"),
        [
            pytest.param(1, "Error", {}, ("Interrupted", SYSTEM), id="T53"),
            pytest.param(137, "Error", {}, ("Interrupted", SYSTEM), id="T54"),
            pytest.param(137, "OOMKilled", {}, ("OOMKilled", USER), id="T55"),
            pytest.param(None, "", {"reason": "Evicted", "message": "low on memory"}, ("Evicted", USER), id="T56"),
            pytest.param(None, "", {"reason": "NodeShutdown"}, ("Interrupted", SYSTEM), id="T57"),
            pytest.param(
                None, "", {"reason": "UnexpectedAdmissionError"}, ("UnexpectedAdmissionError", USER), id="T58"
            ),
        ],
    )
    async def test_whose_fault_it_is(
        self, pods: Pods, code: int | None, reason: str, status: dict[str, str], expected: tuple[str, int]
    ) -> None:
        await pods.make()
        ended = [] if code is None else [container("main", terminated(code, reason))]
        found = reading(await pods.becomes("Failed", *ended, **status))
        assert failure(found) == (*expected, True, False)

    async def test_t58_a_node_that_cannot_is_the_systems_fault_where_the_operator_wants_it(self, pods: Pods) -> None:
        await pods.make()
        seen = await pods.becomes("Failed", reason="UnexpectedAdmissionError")
        found = reading(seen, status={"node_failures_are_system": True})
        assert failure(found) == ("Interrupted", SYSTEM, True, False)

    async def test_t53_a_plain_exit_is_the_tasks_fault_where_the_operator_wants_it(self, pods: Pods) -> None:
        await pods.make()
        seen = await pods.becomes("Failed", container("main", terminated(1, "Error")))
        assert failure(reading(seen, status={"plain_exit_is_user_error": True})) == ("Error", USER, True, False)

    async def test_messages_say_how_each_container_ended(self, pods: Pods) -> None:
        await pods.make()
        seen = await pods.becomes("Failed", container("main", terminated(3, "Error", "Traceback")))
        found = reading(seen)
        assert found.error is not None
        assert found.error.message == (
            "Pod failed. No message received from kubernetes."
            "\r\n[main] terminated with exit code (3). Reason [Error]. Message: \nTraceback."
        )


class TestSeveralContainers:
    async def beside(self, pods: Pods, main: Object, side: Object, **more: Any) -> Object:
        both = [{"name": name, "image": "nowhere/nothing:1"} for name in ("main", "side")]
        await pods.make(containers=both, **more)
        return await pods.becomes("Running", container("main", main), container("side", side))

    async def test_t59_the_end_of_the_primary_is_the_tasks_and_what_still_runs_is_of_no_use(self, pods: Pods) -> None:
        seen = await self.beside(pods, terminated(0, "Completed"), running())
        found = reading(seen)
        assert (found.stage, found.of_no_use) == (AttemptObserved.EXITED, True)
        assert not reading(seen, status={"delete_leftover_sidecars": False}).of_no_use

    async def test_t60_a_primary_that_fails(self, pods: Pods) -> None:
        found = reading(await self.beside(pods, terminated(1, "Error"), running()))
        assert failure(found)[:3] == ("Error", USER, True)

    async def test_t61_a_primary_that_is_killed(self, pods: Pods) -> None:
        found = reading(await self.beside(pods, terminated(137, "Error"), running()))
        assert failure(found)[:3] == ("Error", SYSTEM, True)

    async def test_t62_without_a_primary_all_must_end(self, pods: Pods) -> None:
        seen = await self.beside(pods, terminated(0, "Completed"), running(), primary=None)
        assert reading(seen).stage == AttemptObserved.RUNNING
        ended = terminated(0, "Completed")
        seen = await pods.becomes("Running", container("main", ended), container("side", ended))
        assert reading(seen).stage == AttemptObserved.EXITED

    async def test_t63_data_that_is_still_copied(self, pods: Pods) -> None:
        uploader = {"name": "uploader", "image": "nowhere/nothing:1", "restartPolicy": "Always"}
        await pods.make(primary=None, initContainers=[uploader])
        main = container("main", terminated(0, "Completed"))
        for state, stage in (
            (running(), AttemptObserved.RUNNING),
            (terminated(0, "Completed"), AttemptObserved.EXITED),
        ):
            seen = await pods.becomes("Running", main, initContainerStatuses=[container("uploader", state)])
            assert reading(seen).stage == stage

    async def test_t64_a_primary_that_is_not_there(self, pods: Pods) -> None:
        await pods.make(primary="nobody")
        found = reading(await pods.becomes("Running", container("main", running())))
        assert failure(found) == ("PrimaryContainerNotFound", USER, False, False)


async def test_t67_a_pod_that_is_being_deleted_has_ended_all_the_same(pods: Pods, api: Api, namespace: str) -> None:
    await pods.make()
    await api.patch(POD, namespace, NAME, {"metadata": {"finalizers": ["flightlog.test/kept"]}})
    await pods.becomes("Succeeded", container("main", terminated(0, "Completed")))
    await api.delete(POD, namespace, NAME)
    seen = await pods.now()
    assert seen["metadata"]["deletionTimestamp"]
    assert reading(seen).stage == AttemptObserved.EXITED
    await api.patch(POD, namespace, NAME, {"metadata": {"finalizers": None}})
