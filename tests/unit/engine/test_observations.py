"""What the launcher says of attempts while they go on: what of it is news, and what becomes of it."""

from __future__ import annotations

from flyteidl.core.execution_pb2 import TaskLog
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import Exit, Usage
from tests.unit.engine.story import INPUT, Flow, Story


def started(flow: Flow) -> Story:
    story = Story(flow, {"x": 1})
    story.start()
    return story


def test_repeated_and_late_observations_change_nothing() -> None:
    story = started(Flow().task("n0", {"a": INPUT}, retries=1))
    assert story.sees("n0", "RUNNING", version=5) == ["AttemptProgressed n0#0 RUNNING"]
    assert story.sees("n0", "RUNNING", version=5) == []
    assert story.sees("n0", "RUNNING", version=6) == []
    assert story.sees("n0", "QUEUED", version=4) == []
    assert story.sees("n0", "RUNNING", version=8, reason="still") == ["AttemptProgressed n0#0 RUNNING"]
    assert story.sees("n0", "INITIALIZING", version=7) == []
    assert story.sees("n0", "RUNNING", attempt=1, version=9) == []
    assert story.sees("nope", "RUNNING") == []
    assert story.fails("n0", recoverable=True) != []
    assert story.fails("n0", attempt=0, recoverable=True) == []
    assert story.succeeds("n0", attempt=0) == []
    assert story.succeeds("n0", attempt=1) != []
    assert story.succeeds("n0", attempt=1) == []


def test_what_runs_may_wait_again() -> None:
    story = started(Flow().task("n0"))
    story.sees("n0", "RUNNING", version=5)
    assert story.sees("n0", "QUEUED", version=6, reason="Suspended") == ["AttemptProgressed n0#0 QUEUED"]
    assert story.sees("n0", "RUNNING", version=7) == ["AttemptProgressed n0#0 RUNNING"]


def test_final_observation_counts_whatever_its_version() -> None:
    story = started(Flow().task("n0"))
    story.sees("n0", "RUNNING", version=50)
    assert story.sees("n0", "LOST", version=1) != []


def test_new_log_links_are_progress() -> None:
    story = started(Flow().task("n0"))
    story.sees("n0", "RUNNING", logs=[TaskLog(uri="a")])
    assert story.sees("n0", "RUNNING", logs=[TaskLog(uri="a")]) == []
    assert story.sees("n0", "RUNNING", logs=[TaskLog(uri="b")]) == ["AttemptProgressed n0#0 RUNNING"]


def test_what_runs_it_and_what_that_says_is_progress_too() -> None:
    story, info = started(Flow().task("n0")), Struct()
    info.update({"jobStatus": "RUNNING"})
    assert story.sees("n0", "QUEUED", plugin="ray") == ["AttemptProgressed n0#0 QUEUED"]
    assert story.last(facts.AttemptProgressed).plugin == "ray"
    assert story.sees("n0", "QUEUED", plugin="ray") == []
    assert story.sees("n0", "QUEUED", plugin="ray", custom_info=info) == ["AttemptProgressed n0#0 QUEUED"]
    assert story.last(facts.AttemptProgressed).custom_info["jobStatus"] == "RUNNING"
    assert story.sees("n0", "QUEUED", plugin="ray", custom_info=info) == []
    info.update({"jobStatus": "FAILED"})
    story.sees("n0", "LOST", plugin="ray", custom_info=info)
    assert story.last(facts.AttemptFailed).plugin == "ray"
    assert story.last(facts.AttemptFailed).custom_info["jobStatus"] == "FAILED"


def test_success_carries_what_its_plugin_said() -> None:
    story, info = started(Flow().task("n0", outputs=())), Struct()
    info.update({"replicas": 2.0})
    story.sees("n0", "EXITED", custom_info=info)
    assert story.last(facts.AttemptSucceeded).custom_info["replicas"] == 2


def test_times_and_usage_are_those_of_the_launcher() -> None:
    stamp = Timestamp(seconds=99)
    story = started(Flow().task("n0"))
    story.sees("n0", "RUNNING", occurred_at=stamp)
    assert story.last(facts.AttemptProgressed).occurred_at == stamp
    story.sees("n0", "EXITED", exit=Exit(code=3), occurred_at=stamp, usage=Usage(peak_memory_bytes=7))
    failed = story.last(facts.AttemptFailed)
    assert failed.occurred_at == stamp
    assert failed.usage.peak_memory_bytes == 7
