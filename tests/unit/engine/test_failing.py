"""Failures, retries, timeouts and aborts: what is stopped, what is tried again, and when it is over."""

from datetime import timedelta

import pytest
from flyteidl.core.execution_pb2 import ExecutionError
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import Exit
from flightlog_types.durations import go_duration
from services.execution import engine
from services.execution.engine.outcomes import MESSAGE_LIMIT
from tests.unit.engine.story import INPUT, MORNING, WORKFLOW_DIR, Flow, From, Story, error_document

SYSTEM = ExecutionError.SYSTEM


def started(flow: Flow, **options: object) -> Story:
    story = Story(flow, {"x": 1}, **options)  # type: ignore[arg-type]
    story.start()
    return story


# ---------------------------------------------------------------------------------------------------- failing


def test_permanent_failure_fails_node_and_execution_with_the_tasks_error() -> None:
    story = started(Flow().task("n0", retries=2).task("n1", {"a": From("n0")}))
    assert story.fails("n0") == [
        "AttemptFailed n0#0 USER:Boom",
        "NodeFailed n0 USER:Boom",
        "ExecutionFailing USER:Boom",
        "ExecutionFailed USER:Boom",
    ]
    assert story.phases() == {"n0": "FAILED", "start-node": "SUCCEEDED"}
    assert story.error().message == "boom"


def test_error_keeps_its_time_and_worker() -> None:
    from flyteidl.core import errors_pb2

    stamp = Timestamp(seconds=5)
    container = errors_pb2.ContainerError(code="c", message="m", origin=SYSTEM, timestamp=stamp, worker="w")
    story = started(Flow().task("n0"))
    found = engine.AttemptResult(error=errors_pb2.ErrorDocument(error=container))
    story.does(engine.ObserveAttempt(story.observation("n0", "EXITED"), found))
    assert story.error() == ExecutionError(code="c", message="m", kind=SYSTEM, timestamp=stamp, worker="w")


def test_failure_stops_what_runs_beside_it() -> None:
    story = started(Flow().task("a").task("b").task("c", after=["b"]))
    assert story.fails("a")[1:] == ["NodeFailed a USER:Boom", "ExecutionFailing USER:Boom", "AttemptAborting b#0"]
    assert story.last(facts.AttemptAborting).reason == "Some node execution failed, auto-abort."
    assert story.phase == "FAILING"
    assert story.sees("b", "KILLED") == ["AttemptAborted b#0", "NodeAborted b NodeAborted", "ExecutionFailed USER:Boom"]
    assert "c" not in story.phases()
    aborted = story.last(facts.NodeAborted)
    assert aborted.error == ExecutionError(code="NodeAborted", message="Some node execution failed, auto-abort.")


def test_waiting_nodes_are_aborted_without_an_attempt() -> None:
    story = started(Flow().task("a").task("b"), parallelism=1)
    assert story.fails("a")[2:] == [
        "ExecutionFailing USER:Boom",
        "NodeAborted b NodeAborted",
        "ExecutionFailed USER:Boom",
    ]


def test_success_that_comes_while_stopping_is_an_abort() -> None:
    story = started(Flow().task("a").task("b"))
    story.fails("a")
    assert story.succeeds("b")[:2] == ["AttemptAborted b#0", "NodeAborted b NodeAborted"]


def test_fail_after_lets_independent_nodes_end_and_skips_the_rest() -> None:
    flow = Flow().fails_after()
    flow.task("n0").task("n1", {"a": From("n0")}).task("n2").task("n3", {"a": From("n2")})
    flow.task("n4", {"a": From("n1"), "b": From("n3")}).returns(o0=From("n4"))
    story = started(flow)
    assert story.fails("n0") == ["AttemptFailed n0#0 USER:Boom", "NodeFailed n0 USER:Boom", "NodeSkipped n1"]
    story.succeeds("n2")
    assert story.succeeds("n3") == [
        "AttemptSucceeded n3#0",
        "NodeSucceeded n3",
        "NodeSkipped n4",
        "NodeSkipped end-node",
        "ExecutionFailing USER:Boom",
        "ExecutionFailed USER:Boom",
    ]
    skipped = story.last(facts.NodeSkipped, node_id="end-node")
    assert (skipped.visible, skipped.kind, skipped.spec_node_id) == (True, facts.END, "end-node")


def test_fail_after_reports_the_last_failure_on_the_walk() -> None:
    story = started(Flow().fails_after().task("a").task("b"))
    story.fails("b", code="B")
    story.fails("a", code="A")
    assert story.error().code == "B"


# ---------------------------------------------------------------------------------------------------- outcomes


def outcome(story: Story, node: str = "n0") -> tuple[str, int, bool]:
    failed = story.last(facts.AttemptFailed, node_id=node)
    return failed.error.code, failed.error.kind, failed.recoverable


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Exit(code=1), ("Interrupted", SYSTEM, True)),
        (Exit(code=137, signal=9), ("Interrupted", SYSTEM, True)),
        (Exit(code=0, signal=15), ("Interrupted", SYSTEM, True)),
        (Exit(code=137, signal=9, out_of_memory=True), ("OOMKilled", ExecutionError.USER, True)),
        (Exit(code=0), ("OutputsNotFound", ExecutionError.UNKNOWN, True)),
    ],
)
def test_exits(how: Exit, expected: tuple[str, int, bool]) -> None:
    story = started(Flow().task("n0"))
    story.sees("n0", "EXITED", exit=how)
    assert outcome(story) == expected


def test_error_document_counts_whatever_the_exit_code() -> None:
    story = started(Flow().task("n0"))
    story.sees("n0", "RUNNING")
    from flyteidl.core import errors_pb2

    found = engine.AttemptResult(error=errors_pb2.ErrorDocument(error=errors_pb2.ContainerError(code="E", origin=1)))
    story.does(engine.ObserveAttempt(story.observation("n0", "EXITED", exit=Exit(code=1)), found))
    assert outcome(story) == ("E", ExecutionError.USER, False)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (engine.AttemptResult(error_unreadable=True), ("ErrorFileBadFormat", SYSTEM, True)),
        (engine.AttemptResult(outputs_too_large=True), ("OutputSizeExceeded", ExecutionError.USER, False)),
    ],
)
def test_results(result: engine.AttemptResult, expected: tuple[str, int, bool]) -> None:
    story = started(Flow().task("n0"))
    story.does(engine.ObserveAttempt(story.observation("n0", "EXITED"), result))
    assert outcome(story) == expected


def test_empty_error_document_is_a_bad_one() -> None:
    from flyteidl.core import errors_pb2

    story = started(Flow().task("n0"))
    found = engine.AttemptResult(error=errors_pb2.ErrorDocument())
    story.does(engine.ObserveAttempt(story.observation("n0", "EXITED"), found))
    assert outcome(story)[0] == "ErrorFileBadFormat"


def test_not_launched_is_what_the_launcher_says() -> None:
    story = started(Flow().task("n0", retries=1))
    story.sees("n0", "NOT_LAUNCHED", error=ExecutionError(code="BadTaskFormat", message="m", kind=ExecutionError.USER))
    assert outcome(story) == ("BadTaskFormat", ExecutionError.USER, False)
    assert story.error().code == "BadTaskFormat"
    story = started(Flow().task("n0", retries=1))
    error = ExecutionError(code="RuntimeFailure", message="m", kind=ExecutionError.USER)
    assert "RetryScheduled n0#1" in story.sees("n0", "NOT_LAUNCHED", error=error, recoverable=True)


def test_failed_is_what_the_runtime_says_whatever_was_written() -> None:
    story = started(Flow().task("n0", retries=5))
    error = ExecutionError(code="ContainersNotReady|InvalidImageName", message="m", kind=ExecutionError.USER)
    found = engine.AttemptResult(error=error_document("OTHER", recoverable=True))
    story.does(engine.ObserveAttempt(story.observation("n0", "FAILED", error=error), found))
    assert outcome(story) == ("ContainersNotReady|InvalidImageName", ExecutionError.USER, False)
    assert story.error().code == "ContainersNotReady|InvalidImageName"
    assert story.phase == "FAILED"


def test_failed_uses_the_budget_of_its_kind() -> None:
    story = started(Flow().task("n0"))
    interrupted = ExecutionError(code="Interrupted", message="node is gone", kind=SYSTEM)
    for attempt in range(3):
        told = story.sees("n0", "FAILED", attempt, error=interrupted, recoverable=True)
        assert f"RetryScheduled n0#{attempt + 1}" in told
    story.sees("n0", "FAILED", 3, error=interrupted, recoverable=True)
    assert (story.error().code, story.error().kind) == ("RetriesExhausted|Interrupted", ExecutionError.USER)
    assert story.error().message == "[3/3] currentAttempt done. Last Error: SYSTEM::node is gone"

    story = started(Flow().task("n0"))
    evicted = ExecutionError(code="Evicted", message="low on disk", kind=ExecutionError.USER)
    story.sees("n0", "FAILED", error=evicted, recoverable=True)
    assert story.error().code == "RetriesExhausted|Evicted"


@pytest.mark.parametrize("stage", ["LOST", "KILLED"])
def test_vanished_attempt_is_a_system_failure(stage: str) -> None:
    story = started(Flow().task("n0"))
    assert story.sees("n0", stage)[1] == "RetryScheduled n0#1"
    assert outcome(story) == ("ResourceDeletedExternally", SYSTEM, True)


def test_long_messages_keep_head_and_tail() -> None:
    story = started(Flow().task("n0"))
    story.fails("n0", message="head" + "é" * MESSAGE_LIMIT + "tail")
    message = story.error().message
    assert len(message.encode()) <= MESSAGE_LIMIT
    assert message.startswith("headé")
    assert message.endswith("étail")


@pytest.mark.parametrize(("deck", "expected"), [(None, True), (True, True), (False, False)])
def test_deck_is_named_when_there_is_one(deck: bool | None, expected: bool) -> None:
    uri = f"{WORKFLOW_DIR}/n0/data/0/deck.html" if expected else ""
    story = started(Flow().task("n0", deck=deck))
    # Only a task that says so is known to have one before it ends.
    assert story.last(facts.AttemptScheduled).deck_uri == (uri if deck else "")
    story.succeeds("n0", deck=True)
    assert story.last(facts.NodeSucceeded, node_id="n0").deck_uri == uri
    story = started(Flow().task("n0", deck=deck))
    story.fails("n0", deck=True)
    assert story.last(facts.NodeFailed).deck_uri == uri


# ---------------------------------------------------------------------------------------------------- retries


def test_recoverable_failures_use_up_the_tasks_budget() -> None:
    story = started(Flow().task("n0", retries=2))
    for attempt in (0, 1):
        assert story.fails("n0", attempt, recoverable=True) == [
            f"AttemptFailed n0#{attempt} USER:Boom",
            f"RetryScheduled n0#{attempt + 1}",
            f"AttemptScheduled n0#{attempt + 1}",
        ]
    assert story.fails("n0", 2, recoverable=True)[1] == "NodeFailed n0 RetriesExhausted|USER:Boom"
    assert story.error().message == "[3/3] currentAttempt done. Last Error: USER::boom"
    assert story.error().kind == ExecutionError.USER
    assert sum(isinstance(fact, facts.NodeStarted) for fact in story.history) == 1


def test_system_failures_have_a_budget_of_their_own() -> None:
    story = started(Flow().task("n0"))
    for attempt in range(3):
        assert story.exits("n0", 1, attempt)[1] == f"RetryScheduled n0#{attempt + 1}"
    assert story.exits("n0", 1, 3)[1] == "NodeFailed n0 RetriesExhausted|Interrupted"
    assert story.error().message.startswith("[3/3] currentAttempt done. Last Error: SYSTEM::")
    assert story.error().kind == ExecutionError.USER


def test_both_budgets_count_side_by_side() -> None:
    story = started(Flow().task("n0", retries=1))
    assert story.exits("n0", 1, 0)[1] == "RetryScheduled n0#1"
    assert story.fails("n0", 1, recoverable=True)[1] == "RetryScheduled n0#2"
    assert story.exits("n0", 1, 2)[1] == "RetryScheduled n0#3"
    assert story.fails("n0", 3, recoverable=True)[1] == "NodeFailed n0 RetriesExhausted|USER:Boom"
    assert story.error().message.startswith("[2/2]")


def test_retries_of_the_node_go_before_those_of_the_task() -> None:
    story = started(Flow().task("n0", retries=5, node_retries=1))
    story.fails("n0", 0, recoverable=True)
    assert story.fails("n0", 1, recoverable=True)[1] == "NodeFailed n0 RetriesExhausted|USER:Boom"


def test_next_attempt_knows_the_checkpoint_of_the_last() -> None:
    story = started(Flow().task("n0", retries=1))
    first = story.last(facts.AttemptScheduled).checkpoint_prefix
    story.fails("n0", recoverable=True)
    second = story.last(facts.AttemptScheduled)
    assert second.previous_checkpoint_prefix == first
    assert second.generated_name == "akmhktsb8cz8hwmv4ldf-n0-1"
    assert second.output_prefix == f"{WORKFLOW_DIR}/n0/data/1"
    assert story.succeeds("n0", 1, {"o0": 4})[:2] == ["AttemptSucceeded n0#1", "NodeSucceeded n0"]


def test_back_off_doubles_up_to_its_limit() -> None:
    settings = engine.EngineSettings(retry_backoff_base=timedelta(seconds=1), retry_backoff_max=timedelta(seconds=3))
    story = started(Flow().task("n0", retries=9), settings=settings)
    for attempt, pause in enumerate((1, 2, 3, 3)):
        assert story.fails("n0", attempt, recoverable=True)[1:] == [
            f"RetryScheduled n0#{attempt + 1}",
            f"TimerSet n0/{attempt + 1}/retry",
        ]
        due = story.last(facts.TimerSet).due
        assert due.ToDatetime() == MORNING.replace(tzinfo=None) + timedelta(seconds=pause)
        assert story.fire(f"n0/{attempt + 1}/retry") == [f"AttemptScheduled n0#{attempt + 1}"]
        assert story.fire(f"n0/{attempt + 1}/retry") == []
    assert story.fire("n0/1/retry") == []
    assert story.fire("unknown") == []


def test_last_system_attempt_is_not_interruptible() -> None:
    story = started(Flow().task("n0", interruptible=True))
    for attempt in range(4):
        assert story.last(facts.AttemptScheduled).interruptible == (attempt < 3)
        story.exits("n0", 1, attempt)


@pytest.mark.parametrize(
    ("node", "execution", "workflow", "expected"),
    [
        (None, None, False, False),
        (None, None, True, True),
        (None, False, True, False),
        (None, True, False, True),
        (False, True, True, False),
        (True, False, False, True),
    ],
)
def test_interruptible_is_taken_from_the_nearest(
    node: bool | None, execution: bool | None, workflow: bool, expected: bool
) -> None:
    def change(created: facts.ExecutionCreated) -> None:
        if execution is not None:
            created.config.interruptible = execution

    metadata = {} if node is None else {"interruptible": node}
    flow = Flow(interruptible=workflow).task("n0", **metadata)
    assert started(flow, change=change).last(facts.AttemptScheduled).interruptible == expected


# ---------------------------------------------------------------------------------------------------- timeouts


def test_timeout_without_retries() -> None:
    story = started(Flow().task("n0", timeout=8))
    assert story.last(facts.TimerSet, kind=facts.ATTEMPT_DEADLINE).due.seconds == int(MORNING.timestamp()) + 8
    assert story.last(facts.TimerSet, kind=facts.NODE_DEADLINE).due.seconds == int(MORNING.timestamp()) + 16
    assert story.fire("n0/0/attempt") == ["AttemptAborting n0#0"]
    assert story.last(facts.AttemptAborting).timed_out
    assert story.fire("n0/0/attempt") == []
    assert story.sees("n0", "KILLED") == [
        "AttemptAborted n0#0",
        "NodeFailed n0 RetriesExhausted|TimeoutExpired",
        "ExecutionFailing RetriesExhausted|TimeoutExpired",
        "ExecutionFailed RetriesExhausted|TimeoutExpired",
    ]
    assert story.error().message == "[1/1] currentAttempt done. Last Error: USER::task execution timeout [8s] expired"


def test_timed_out_attempt_is_gone_before_the_next_begins() -> None:
    story = started(Flow().task("n0", timeout=8, retries=1))
    assert story.fire("n0/0/attempt") == ["AttemptAborting n0#0"]
    assert story.sees("n0", "RUNNING") == []
    assert story.sees("n0", "LOST") == [
        "AttemptAborted n0#0",
        "RetryScheduled n0#1",
        "AttemptScheduled n0#1",
        "TimerSet n0/1/attempt",
    ]
    assert story.fire("n0/0/attempt") == []
    assert story.succeeds("n0", 1)[-1] == "ExecutionSucceeded"


def test_node_deadline_ends_all_retrying() -> None:
    story = started(Flow().task("n0", timeout=8, retries=9))
    story.fire("n0/0/attempt")
    story.sees("n0", "KILLED")
    assert story.fire("n0/0/node") == ["NodeFailing n0", "AttemptAborting n0#1"]
    assert story.sees("n0", "KILLED", 1) == [
        "AttemptAborted n0#1",
        "NodeTimedOut n0",
        "ExecutionFailing Timeout",
        "ExecutionFailed Timeout",
    ]
    assert story.error().kind == ExecutionError.USER


def test_node_deadline_in_a_back_off() -> None:
    settings = engine.EngineSettings(retry_backoff_base=timedelta(seconds=1))
    story = started(Flow().task("n0", timeout=8, retries=9), settings=settings)
    story.fails("n0", recoverable=True)
    assert story.fire("n0/0/node")[:2] == ["NodeFailing n0", "NodeTimedOut n0"]
    assert story.fire("n0/1/retry") == []


def test_node_deadline_while_a_timed_out_attempt_is_being_stopped() -> None:
    story = started(Flow().task("n0", timeout=8, retries=9))
    story.fire("n0/0/attempt")
    assert story.fire("n0/0/node") == ["NodeFailing n0"]
    assert story.fire("n0/0/node") == []
    assert story.sees("n0", "KILLED")[:2] == ["AttemptAborted n0#0", "NodeTimedOut n0"]


def test_alarms_after_the_end_are_ignored() -> None:
    story = started(Flow().task("n0", timeout=8))
    story.succeeds("n0")
    assert story.fire("n0/0/attempt") == []
    assert story.fire("n0/0/node") == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (8, "8s"), (1.5, "1.5s"), (0.25, "250ms"), (0.0000015, "2µs"), (0.0015, "1.5ms"), (90, "1m30s"),
        (60, "1m0s"), (3600, "1h0m0s"), (90061.5, "25h1m1.5s"),
    ],
)  # fmt: skip
def test_durations_read_as_flyte_prints_them(seconds: float, text: str) -> None:
    assert go_duration(timedelta(seconds=seconds)) == text


# ---------------------------------------------------------------------------------------------------- abort


def test_abort_waits_for_what_runs() -> None:
    story = started(Flow().task("a").task("b").task("c", after=["a"]))
    assert story.terminate() == ["AbortRequested", "AttemptAborting a#0", "AttemptAborting b#0"]
    assert (story.last(facts.AbortRequested).cause, story.last(facts.AbortRequested).principal) == ("enough", "user")
    assert story.sees("b", "KILLED") == ["AttemptAborted b#0", "NodeAborted b NodeAborted"]
    assert story.last(facts.NodeAborted).error == ExecutionError(code="NodeAborted", message="Workflow aborted.")
    assert story.fails("a") == ["AttemptAborted a#0", "NodeAborted a NodeAborted", "ExecutionAborted"]
    assert "c" not in story.phases()


def test_abort_may_be_asked_for_again_until_the_end() -> None:
    story = started(Flow().task("a"))
    story.terminate("first")
    assert story.terminate("second") == ["AbortRequested"]
    story.sees("a", "KILLED")
    with pytest.raises(engine.Refused) as refused:
        story.terminate()
    assert refused.value.reason == engine.Refusal.ALREADY_TERMINAL


def test_abort_before_the_start() -> None:
    story = Story(Flow().task("a"))
    assert story.terminate() == ["AbortRequested", "ExecutionAborted"]
    assert story.start() == []


def test_abort_in_a_back_off() -> None:
    settings = engine.EngineSettings(retry_backoff_base=timedelta(seconds=1))
    story = started(Flow().task("n0", retries=1), settings=settings)
    story.fails("n0", recoverable=True)
    assert story.terminate() == ["AbortRequested", "NodeAborted n0 NodeAborted", "ExecutionAborted"]
    assert story.fire("n0/1/retry") == []


def test_abort_while_a_timed_out_attempt_is_being_stopped() -> None:
    story = started(Flow().task("n0", timeout=8, retries=1))
    story.fire("n0/0/attempt")
    assert story.terminate() == ["AbortRequested"]
    assert story.sees("n0", "KILLED") == ["AttemptAborted n0#0", "NodeAborted n0 NodeAborted", "ExecutionAborted"]


def test_abort_while_failing() -> None:
    story = started(Flow().task("a").task("b"))
    story.fails("a")
    assert story.terminate() == ["AbortRequested"]
    assert story.sees("b", "KILLED")[-1] == "ExecutionAborted"


# ---------------------------------------------------------------------------------------------------- by force


def test_abort_by_force_waits_for_nothing() -> None:
    story = started(Flow().task("a").sub("s", Flow("inner").task("i"), {"x": INPUT}))
    assert story.terminate(force=True) == [
        "AbortRequested",
        "AttemptAborting a#0",
        "AttemptAborting s-0-i#0",
        "AttemptAborted a#0",
        "NodeAborted a NodeAborted",
        "AttemptAborted s-0-i#0",
        "NodeAborted s-0-i NodeAborted",
        "NodeAborted s NodeAborted",
        "ExecutionAborted",
    ]
    aborted = story.last(facts.AttemptAborted, node_id="a")
    assert (aborted.abandoned, aborted.reason) == (True, "Workflow aborted.")
    assert story.last(facts.AbortRequested).force
    assert story.last(facts.NodeAborted, node_id="s").error.message == "Workflow aborted."


def test_abort_by_force_after_one_that_never_ends() -> None:
    story = started(Flow().task("a"))
    story.terminate()
    assert story.terminate(force=True) == [
        "AbortRequested",
        "AttemptAborted a#0",
        "NodeAborted a NodeAborted",
        "ExecutionAborted",
    ]


def test_what_is_seen_after_an_abort_by_force_changes_nothing() -> None:
    story = started(Flow().task("a", timeout=8, retries=1).task("b"))
    story.terminate(force=True)
    assert story.sees("a", "RUNNING") == []
    assert story.sees("a", "KILLED") == []
    assert story.succeeds("b") == []
    assert story.fire("a/0/attempt") == []
    with pytest.raises(engine.Refused):
        story.terminate(force=True)


def test_abort_by_force_of_what_fails_retries_or_has_not_begun() -> None:
    story = Story(Flow().task("a"), {"x": 1})
    assert story.terminate(force=True) == ["AbortRequested", "ExecutionAborted"]
    story = started(Flow().task("a").task("b"))
    story.fails("a")
    assert story.terminate(force=True)[-1] == "ExecutionAborted"
    settings = engine.EngineSettings(retry_backoff_base=timedelta(seconds=1))
    story = started(Flow().task("a", retries=1).task("b"), settings=settings, parallelism=1)
    story.fails("a", recoverable=True)
    assert story.terminate(force=True)[-1] == "ExecutionAborted"


def test_abort_by_force_ends_a_failure_node() -> None:
    story = started(Flow().task("a").task("fn0").on_failure())
    story.fails("a")
    assert story.terminate(force=True)[-3:] == [
        "AttemptAborted fn0#0",
        "NodeAborted fn0 NodeAborted",
        "ExecutionAborted",
    ]


def test_abort_by_force_of_a_workflow_that_is_lost() -> None:
    story = started(Flow().task("a").sub("s", Flow("inner").task("i"), {"x": INPUT}))
    story.program = engine.Program.unrunnable("gone")
    assert story.terminate(force=True)[-1] == "ExecutionAborted"
