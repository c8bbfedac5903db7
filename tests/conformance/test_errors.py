"""Part C of the table: tasks that fail, and what is tried again."""

from __future__ import annotations

import pytest

from tests.conformance.client import Backend, Start
from tests.conformance.runs import Run, ended
from tests.conformance.values import moment

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs
_USER, _SYSTEM = 1, 2


@rows(29)
@runs(Start("errors.user_error"))
def test_plain_exception_is_not_tried_again(run: Run) -> None:
    run.fail()
    task = run.node("n0").task
    assert (task.attempt, task.phase) == (0, "FAILED")
    error = run.node("n0").whole.closure.error
    assert error.kind == _USER
    assert "Trace:" in error.message
    assert "Message:" in error.message
    assert "no use to try again" in error.message


@rows(30)
@runs(Start("errors.exhausted"))
def test_recoverable_exception_uses_up_the_budget(run: Run) -> None:
    run.fail()
    assert [(task.attempt, task.phase) for task in run.node("n0").tasks] == [
        (0, "FAILED"),
        (1, "FAILED"),
        (2, "FAILED"),
    ]
    assert run.error.code == "RetriesExhausted|USER:Recoverable"
    assert run.error.message.startswith("[3/3] currentAttempt done. Last Error: USER::")
    assert run.node("n0").tasks[0].error.code == "USER:Recoverable"


@rows(31, 40)
@runs(Start("errors.lucky"))
def test_second_attempt_may_succeed_and_knows_its_number(run: Run) -> None:
    assert run.succeed().output == 1
    assert [(task.attempt, task.phase) for task in run.node("n0").tasks] == [(0, "FAILED"), (1, "SUCCEEDED")]
    assert run.node("n0").phase == "SUCCEEDED"


@rows(32)
@runs(Start("errors.crashing"))
def test_crash_is_tried_again_on_the_system_budget(run: Run) -> None:
    run.fail()
    tasks = run.node("n0").tasks
    if run.backend.is_flyte and len(tasks) == 1:
        # Whether the pod was still seen as running decides there.
        assert run.error.code == "RetriesExhausted|Error"
        return
    assert [task.attempt for task in tasks] == [0, 1, 2, 3]
    assert {(task.error.code, task.error.kind) for task in tasks} == {("Interrupted", _SYSTEM)}
    assert run.error.code == "RetriesExhausted|Interrupted"
    assert run.error.message.startswith("[3/3] ")


@rows(34)
@runs(Start("errors.interrupted"))
def test_killed_task_is_tried_again_without_retries_of_its_own(run: Run) -> None:
    assert run.succeed().output == 1
    first, second = run.node("n0").tasks
    assert (first.phase, first.error.kind) == ("FAILED", _SYSTEM)
    assert second.phase == "SUCCEEDED"


@rows(38)
@runs(Start("errors.without_outputs"))
def test_task_that_writes_no_outputs_has_failed(run: Run) -> None:
    run.fail()
    assert run.node("n0").tasks[0].error.code == "OutputsNotFound"
    assert run.error.code == "RetriesExhausted|OutputsNotFound"


@rows(39)
@differs("Flyte fails outputs above 2 MiB unless offloading is switched on")
@runs(Start("errors.large"))
def test_large_outputs_are_handed_on(run: Run) -> None:
    assert run.succeed().output == 3 * 1024 * 1024


@rows(39)
@runs(Start("errors.too_large"))
def test_outputs_have_a_largest_size(run: Run) -> None:
    run.fail()
    assert "OutputSizeExceeded" in run.error.code


@rows(43)
@runs(Start("errors.on_demand_at_last"))
def test_last_attempt_of_an_interruptible_task_is_on_demand(run: Run) -> None:
    run.succeed()
    classes = [task.closure.metadata.instance_class for task in run.node("n0").tasks]
    # TaskExecutionMetadata.InstanceClass: DEFAULT 0, INTERRUPTIBLE 1.
    assert classes == [1, 1, 1, 0]


@rows(30)
@runs(Start("errors.more_retries"))
def test_retries_of_the_node_go_before_those_of_the_task(run: Run) -> None:
    assert run.succeed().output == 3
    assert len(run.node("n0").tasks) == 4


@rows(35)
@runs(Start("timeouts.one_attempt"), Start("timeouts.overridden"))
def test_attempt_that_takes_too_long_fails_the_node(runs: list[Run]) -> None:
    for run in runs:
        run.fail()
        assert run.error.code == "RetriesExhausted|TimeoutExpired"
        assert run.error.message == "[1/1] currentAttempt done. Last Error: USER::task execution timeout [1s] expired"
        assert run.node("n0").phase == "FAILED"
        assert run.node("n0").task.phase == "ABORTED"


@rows(36)
@runs(Start("timeouts.many_attempts"))
def test_all_attempts_together_have_twice_the_time(run: Run) -> None:
    run.fail()
    assert run.error.code == "Timeout"
    assert run.error.kind == _USER
    node = run.node("n0")
    assert node.phase == "TIMED_OUT"
    assert {task.phase for task in node.tasks} == {"ABORTED"}
    assert 1 <= len(node.tasks) <= 2


@rows(94)
@runs(Start("errors.long_message"))
def test_long_message_is_cut_in_its_middle(run: Run) -> None:
    run.fail()
    message = run.error.message
    assert 50 * 1024 < len(message.encode()) <= 101 * 1024
    assert message.startswith("Trace:")
    assert message.rstrip().endswith("the end")


@rows(90)
@runs(Start("errors.user_error"))
def test_attempts_tell_their_reasons_in_order(run: Run) -> None:
    task = run.fail().node("n0").task
    reasons = [reason.message for reason in task.closure.reasons]
    assert reasons
    assert task.closure.reason == reasons[-1]
    moments = [reason.occurred_at.ToNanoseconds() for reason in task.closure.reasons]
    assert moments == sorted(moments)


@rows(49)
@runs(Start("errors.exhausted"))
def test_attempts_have_generated_names(run: Run) -> None:
    run.fail()
    names = [task.closure.metadata.generated_name for task in run.node("n0").tasks]
    assert names == [f"{run.name}-n0-{attempt}" for attempt in range(3)]


@rows(92)
def test_a_task_can_be_run_by_itself(backend: Backend) -> None:
    task = backend.remote.fetch_task(name="lifecycle.inc", version=backend.version)
    execution = backend.remote.execute(task, inputs={"x": 6})
    run = backend.run(execution.id.name).succeed()
    assert run.outputs == {"o0": 7}
    assert run.closure.workflow_id.name == ".flytegen.lifecycle.inc"
    (node,) = run.phases()
    assert node == "lifecycleinc"
    assert run.synced().outputs["o0"] == 7


@runs(Start("errors.patient_retry"))
@differs("Flyte retries at once; it does not read the annotation")
def test_a_task_may_ask_for_a_pause_between_its_attempts(run: Run) -> None:
    assert run.succeed().output == 1
    first, second = run.node("n0").tasks
    assert moment(second.closure.created_at) - ended(first.closure) >= 2
    assert first.closure.reason == "tried again in 2 s"
