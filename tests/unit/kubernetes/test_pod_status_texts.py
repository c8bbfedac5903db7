"""What a pod's status means, case by case (k8s-contract §2). Real pods of a real API server: tests/kubernetes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import Reading
from tests.unit.kubernetes.pod_statuses import (
    NOW,
    ago,
    condition,
    container,
    not_ready,
    pod,
    read,
    running,
    status,
    terminated,
    waiting,
)

USER, SYSTEM = ExecutionError.USER, ExecutionError.SYSTEM


def failure(reading: Reading) -> tuple[str, int, bool, bool]:
    """Code, kind, whether it is recoverable, whether the pod is of no use."""
    assert reading.stage == AttemptObserved.FAILED
    assert reading.error is not None
    return reading.error.code, reading.error.kind, reading.recoverable, reading.of_no_use


def message(reading: Reading) -> str:
    assert reading.error is not None
    return reading.error.message


class TestPending:
    def stuck(self, reason: str, text: str = "why", **since: float) -> dict[str, Any]:
        return pod(status("Pending", container("main", waiting(reason, text)), conditions=[not_ready(**since)]))

    def test_a_new_pod_is_queued(self) -> None:
        for state in ({}, status("Pending")):
            reading = read(pod(state))
            assert (reading.stage, reading.reason) == (AttemptObserved.QUEUED, "task submitted to K8s")
            assert reading.occurred_at is None

    def test_what_the_scheduler_says_is_the_reason(self) -> None:
        unschedulable = condition("PodScheduled", "False", "Unschedulable", "0/1 nodes are available", minutes=10)
        reading = read(pod(status("Pending", conditions=[unschedulable])))
        assert (reading.stage, reading.reason) == (AttemptObserved.QUEUED, "Unschedulable:0/1 nodes are available")
        assert reading.occurred_at == NOW - timedelta(minutes=10)
        assert reading.again_at is None

    def test_the_first_condition_that_says_something_decides(self) -> None:
        conditions = [
            condition("PodScheduled", "True"),
            condition("Initialized", "False"),
            condition("Unschedulable", "True", "Soon", "later"),
            not_ready(),
        ]
        reading = read(pod(status("Pending", container("main", waiting("InvalidImageName")), conditions=conditions)))
        assert reading.reason == "Soon:later"

    @pytest.mark.parametrize("reason", ["ErrImagePull", "ContainerCreating", "PodInitializing"])
    def test_containers_on_their_way_are_initializing(self, reason: str) -> None:
        reading = read(self.stuck(reason, hours=5))
        assert reading.stage == AttemptObserved.INITIALIZING
        assert reading.reason == (f"[ContainersNotReady|{reason}]: containers with unready status: [main]|why")
        assert reading.again_at is None

    @pytest.mark.parametrize(("reason", "recoverable"), [("ImagePullBackOff", True), ("CreateContainerError", False)])
    def test_patience_ends_after_the_period_of_grace(self, reason: str, recoverable: bool) -> None:
        early = read(self.stuck(reason, minutes=1))
        assert early.stage == AttemptObserved.INITIALIZING
        assert early.again_at == NOW + timedelta(minutes=2)
        assert early.again_at is not None
        late = read(self.stuck(reason, minutes=1), later=timedelta(minutes=2))
        assert failure(late) == (f"ContainersNotReady|{reason}", USER, recoverable, True)
        assert message(late) == "Grace period [3m0s] exceeded|containers with unready status: [main]|why"
        assert late.occurred_at == early.again_at

    def test_periods_of_grace_are_settings(self) -> None:
        impatient = {"image_pull_backoff_grace": "PT30S"}
        reading = read(self.stuck("ImagePullBackOff", minutes=1), status=impatient)
        assert message(reading).startswith("Grace period [30s] exceeded|")

    def test_a_missing_secret_fails_at_once(self) -> None:
        reading = read(self.stuck("CreateContainerConfigError", 'secret "s" not found'))
        assert failure(reading) == ("ContainersNotReady|CreateContainerConfigError", USER, False, True)
        assert message(reading) == (
            'Grace period [0s] exceeded|containers with unready status: [main]|secret "s" not found'
        )

    def test_an_invalid_image_fails_at_once(self) -> None:
        reading = read(self.stuck("InvalidImageName", "bad"))
        assert failure(reading) == ("ContainersNotReady|InvalidImageName", USER, False, True)
        assert message(reading) == "containers with unready status: [main]|bad"

    @pytest.mark.parametrize("reason", ["CrashLoopBackOff", "RunContainerError", "ErrImageNeverPull"])
    def test_all_else_is_the_systems_fault(self, reason: str) -> None:
        assert failure(read(self.stuck(reason))) == (f"ContainersNotReady|{reason}", SYSTEM, True, True)

    def test_init_containers_count_by_the_same_table(self) -> None:
        state = status(
            "Pending",
            container("main", waiting("PodInitializing")),
            init=[container("setup", waiting("ImagePullBackOff", "back-off"))],
            conditions=[condition("Initialized", "False", minutes=2), not_ready(minutes=2)],
        )
        assert read(pod(state)).stage == AttemptObserved.INITIALIZING
        assert read(pod(state)).again_at == NOW + timedelta(minutes=1)
        late = read(pod(state), later=timedelta(minutes=1))
        assert failure(late) == ("ContainersNotReady|ImagePullBackOff", USER, True, True)

    def test_an_init_container_that_runs_hides_nothing(self) -> None:
        state = status(
            "Pending",
            container("main", waiting("InvalidImageName")),
            init=[container("sidecar", running())],
            conditions=[not_ready()],
        )
        assert failure(read(pod(state)))[0] == "ContainersNotReady|InvalidImageName"

    def test_waiting_too_long_is_a_failure_where_the_operator_wants_it(self) -> None:
        settings = {"pod_pending_timeout": "PT5M"}
        unschedulable = condition("PodScheduled", "False", "Unschedulable", "0/1 nodes", minutes=4)
        waits = pod(status("Pending", conditions=[unschedulable]))
        assert read(waits, status=settings).again_at == NOW + timedelta(minutes=1)
        late = read(waits, later=timedelta(minutes=1), status=settings)
        assert failure(late) == ("PodPendingTimeout", USER, True, True)
        assert message(late) == "Unschedulable:0/1 nodes"

    def test_the_earlier_end_of_patience_is_the_next_to_look_at(self) -> None:
        reading = read(self.stuck("ImagePullBackOff", minutes=1), status={"pod_pending_timeout": "PT2M"})
        assert reading.again_at == NOW + timedelta(minutes=1)
        reading = read(self.stuck("ImagePullBackOff", minutes=1), status={"pod_pending_timeout": "PT9M"})
        assert reading.again_at == NOW + timedelta(minutes=2)

    def test_a_gate_may_hold_a_pod_back_as_long_as_it_likes(self) -> None:
        gated = condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked", hours=9)
        reading = read(pod(status("Pending", conditions=[gated])), status={"pod_pending_timeout": "PT5M"})
        assert (reading.stage, reading.again_at) == (AttemptObserved.QUEUED, None)


class TestSucceeded:
    def test_what_it_wrote_decides(self) -> None:
        reading = read(pod(status("Succeeded", container("main", terminated(0, "Completed", minutes=3)))))
        assert reading.stage == AttemptObserved.EXITED
        assert reading.exit is not None
        assert (reading.exit.code, reading.exit.signal) == (0, 0)
        assert reading.occurred_at == NOW - timedelta(minutes=3)
        assert not reading.of_no_use

    @pytest.mark.parametrize("field", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
    def test_success_without_memory_is_none(self, field: str) -> None:
        state = status("Succeeded") | {field: [container("x", terminated(0, "OOMKilled"))]}
        reading = read(pod(state))
        assert failure(reading) == ("OOMKilled", USER, True, False)
        assert message(reading) == "Pod reported success despite being OOMKilled"


class TestFailed:
    NO_MESSAGE = "Pod failed. No message received from kubernetes."

    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            (status("Failed", container("main", terminated(1, "Error"))), ("Interrupted", SYSTEM)),
            (status("Failed", container("main", terminated(137, "Error"))), ("Interrupted", SYSTEM)),
            (status("Failed", container("main", terminated(247, "Error"))), ("Interrupted", SYSTEM)),
            (status("Failed", container("main", terminated(137, "OOMKilled"))), ("OOMKilled", USER)),
            (
                status(
                    "Failed", container("main", terminated(1, "Error")), container("side", terminated(137, "Error"))
                ),
                ("Interrupted", USER),
            ),
            (status("Failed", reason="Evicted"), ("Evicted", USER)),
            (status("Failed", reason="Preempting"), ("Preempting", USER)),
            (status("Failed", reason="DeadlineExceeded"), ("DeadlineExceeded", USER)),
            (status("Failed", reason="UnexpectedAdmissionError"), ("UnexpectedAdmissionError", USER)),
            (status("Failed", reason="OutOfnvidia.com/gpu"), ("OutOfnvidia.com/gpu", USER)),
            (status("Failed", reason="Shutdown"), ("Interrupted", SYSTEM)),
            (status("Failed", reason="Terminated"), ("Interrupted", SYSTEM)),
            (status("Failed", reason="NodeShutdown"), ("Interrupted", SYSTEM)),
            (status("Failed", reason="NodeAffinity"), ("Interrupted", SYSTEM)),
            (
                status("Failed", container("main", terminated(137, "OOMKilled")), reason="Shutdown"),
                ("Interrupted", SYSTEM),
            ),
            (
                status("Failed", container("main", terminated(1, "Error"), terminated(137, "OOMKilled"))),
                ("OOMKilled", USER),
            ),
            (
                status("Failed", conditions=[condition("DisruptionTarget", "True", "PreemptionByScheduler")]),
                ("Interrupted", SYSTEM),
            ),
            (status("Failed", init=[container("setup", terminated(137, "OOMKilled"))]), ("OOMKilled", USER)),
        ],
    )
    def test_whose_fault_it_is(self, state: dict[str, Any], expected: tuple[str, int]) -> None:
        assert failure(read(pod(state))) == (*expected, True, False)

    def test_a_kill_is_nobodys_without_a_primary_container(self) -> None:
        state = status("Failed", container("main", terminated(137, "Error")))
        assert failure(read(pod(state, primary=None))) == ("Interrupted", USER, True, False)

    def test_every_end_is_told(self) -> None:
        state = status(
            "Failed",
            container("main", terminated(1, "Error", "Traceback", minutes=1)),
            container("side", running(minutes=9)),
            container("other", terminated(0, "Completed", minutes=2)),
            init=[container("setup", terminated(0, "Completed", minutes=3))],
            reason="Evicted",
            message="The node was low on resource: memory.",
        )
        reading = read(pod(state))
        assert message(reading) == (
            "The node was low on resource: memory."
            "\r\n[setup] terminated with ExitCode 0."
            "\r\n[main] terminated with exit code (1). Reason [Error]. Message: \nTraceback."
            "\r\n[other] terminated with ExitCode 0."
        )
        assert reading.occurred_at == NOW - timedelta(minutes=1)
        assert message(read(pod(status("Failed", reason="Evicted")))) == self.NO_MESSAGE

    def test_a_plain_exit_is_the_tasks_own_fault_where_the_operator_wants_it(self) -> None:
        settings = {"plain_exit_is_user_error": True}
        crashed = pod(status("Failed", container("main", terminated(3, "Error"))))
        assert failure(read(crashed, status=settings)) == ("Error", USER, True, False)
        vanished = pod(status("Failed"))
        assert failure(read(vanished, status=settings)) == ("Interrupted", SYSTEM, True, False)
        killed = pod(status("Failed", container("main", terminated(137, "Error"))))
        assert failure(read(killed, status=settings)) == ("Interrupted", SYSTEM, True, False)

    @pytest.mark.parametrize(
        "reason", ["UnexpectedAdmissionError", "OutOfcpu", "OutOfnvidia.com/gpu", "Preempting", "NodeLost"]
    )
    def test_nodes_that_cannot_are_the_systems_fault_where_the_operator_wants_it(self, reason: str) -> None:
        rejected = pod(status("Failed", reason=reason, message="Pod was rejected"))
        reading = read(rejected, status={"node_failures_are_system": True})
        assert failure(reading) == ("Interrupted", SYSTEM, True, False)
        evicted = read(pod(status("Failed", reason="Evicted")), status={"node_failures_are_system": True})
        assert failure(evicted)[0] == "Evicted"


class TestRunning:
    def beside(self, main: dict[str, Any], side: dict[str, Any], **more: Any) -> dict[str, Any]:
        state = status("Running", container("main", main), container("side", side))
        return pod(state, containers=("main", "side"), **more)

    def test_a_primary_container_that_runs(self) -> None:
        reading = read(pod(status("Running", container("main", running(minutes=4)))))
        assert (reading.stage, reading.reason) == (AttemptObserved.RUNNING, "")
        assert reading.occurred_at == NOW - timedelta(minutes=4)

    def test_one_that_is_started_again_and_again_runs_and_says_so(self) -> None:
        reading = read(pod(status("Running", container("main", waiting("CrashLoopBackOff", "back-off 10s")))))
        assert (reading.stage, reading.reason) == (AttemptObserved.RUNNING, "[CrashLoopBackOff]: back-off 10s")

    def test_its_end_is_the_tasks_whatever_runs_beside_it(self) -> None:
        reading = read(self.beside(terminated(0, "Completed", minutes=2), running()))
        assert reading.stage == AttemptObserved.EXITED
        assert reading.occurred_at == NOW - timedelta(minutes=2)
        assert reading.of_no_use

    def test_what_still_runs_stays_where_the_operator_wants_it(self) -> None:
        ended = self.beside(terminated(0, "Completed"), running())
        assert not read(ended, status={"delete_leftover_sidecars": False}).of_no_use

    def test_nothing_is_left_over_when_all_have_ended(self) -> None:
        assert not read(self.beside(terminated(0, "Completed"), terminated(0, "Completed"))).of_no_use

    @pytest.mark.parametrize(
        ("main", "expected"),
        [
            (terminated(1, "Error", "Traceback"), ("Error", USER, True)),
            (terminated(128, "StartError", "no such file"), ("StartError", USER, True)),
            (terminated(137, "Error"), ("Error", SYSTEM, True)),
            (terminated(247, "Error"), ("Error", SYSTEM, True)),
            (terminated(137, "OOMKilled"), ("OOMKilled", USER, True)),
        ],
    )
    def test_how_it_ended(self, main: dict[str, Any], expected: tuple[str, int, bool]) -> None:
        reading = read(self.beside(main, running()))
        assert failure(reading) == (*expected, True)
        ended = main["terminated"]
        assert message(reading) == (
            f"\r\n[main] terminated with exit code ({ended['exitCode']}). Reason [{ended['reason']}]. "
            f"Message: \n{ended['message']}."
        )

    def test_a_primary_container_that_is_not_there(self) -> None:
        state = status("Running", container("side", running()))
        absent = read(pod(state, containers=("side",)))
        assert failure(absent) == ("PrimaryContainerNotFound", USER, False, False)
        assert message(absent) == "Primary container [main] not found in pod's container statuses"
        assert read(pod(state, containers=("side", "main"))).stage == AttemptObserved.RUNNING

    def test_without_one_all_containers_must_end_well(self) -> None:
        assert read(self.beside(terminated(0), running(), primary=None)).stage == AttemptObserved.RUNNING
        assert read(self.beside(terminated(0), terminated(1), primary=None)).stage == AttemptObserved.RUNNING
        assert read(self.beside(terminated(0), terminated(0), primary=None)).stage == AttemptObserved.EXITED
        assert read(pod(status("Running"), primary=None)).stage == AttemptObserved.RUNNING

    def test_without_one_init_containers_that_go_on_count_too(self) -> None:
        def seen(uploader: dict[str, Any]) -> dict[str, Any]:
            return pod(
                status("Running", container("main", terminated(0)), init=[container("uploader", uploader)]),
                primary=None,
            )

        assert read(seen(running())).stage == AttemptObserved.RUNNING
        assert read(seen(terminated(0))).stage == AttemptObserved.EXITED

    def test_a_lost_node_leaves_its_last_words(self) -> None:
        reading = read(pod(status("Unknown", container("main", running(hours=2)))), logs={"kubernetes_enabled": True})
        assert (reading.stage, reading.logs) == (AttemptObserved.RUNNING, ())


def test_how_long_it_ran_is_known_at_its_end() -> None:
    ended = read(pod(status("Succeeded", container("main", terminated(0, "Completed", minutes=20)))))
    assert ended.usage is not None
    assert ended.usage.wall_time.ToTimedelta() == timedelta(minutes=40)
    assert read(pod(status("Running", container("main", running())))).usage is None
    assert read(pod(status("Failed", reason="Evicted"))).usage is None


def test_links_lead_to_the_primary_container() -> None:
    template = {"display_name": "L", "template_uris": ["{{ .containerName }}"]}
    state = status("Running", container("side", running()), container("main", running()))
    reading = read(pod(state, containers=("side", "main")), logs={"templates": [template]})
    assert [(link.name, link.uri) for link in reading.logs] == [("L (User)", "main")]
    first = read(pod(state, primary=None, containers=("side", "main")), logs={"templates": [template]})
    assert [link.uri for link in first.logs] == ["side"]


def test_moments_are_those_of_the_api() -> None:
    assert ago(minutes=1) == "2026-01-31T11:59:00Z"
