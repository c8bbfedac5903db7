"""Traces cross the log as W3C traceparents, and cost nothing while nobody collects them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

from flightlog_telemetry import current_traceparent, span_from

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT.removesuffix("01") + "00"

_TRACED = """
import json, structlog
from flightlog_telemetry import TelemetrySettings, configure, current_traceparent, shut_down, span_from
configure("test", TelemetrySettings(otlp_endpoint="http://127.0.0.1:1"))
with span_from(%r, "outer"):
    inside = current_traceparent()
    structlog.get_logger().warning("thing.done")
with span_from(%r, "unwanted") as span:
    unsampled = [span.is_recording(), current_traceparent()]
with span_from("", "new"):
    fresh = current_traceparent()
print(json.dumps([inside, fresh, current_traceparent(), *unsampled]), flush=True)
shut_down()
"""

_LOGGED = """
import structlog, logging
from flightlog_telemetry import TelemetrySettings, configure
configure("test", TelemetrySettings(log_format="json"))
password = "hidden-value"
try:
    raise RuntimeError("broken")
except RuntimeError:
    structlog.get_logger().error("thing.failed", number=1, exc_info=True)
logging.getLogger("library").warning("old style")
"""


@cache
def run(code: str) -> subprocess.CompletedProcess[str]:
    """Telemetry is set up once per process: each program has one of its own, which all tests of it look at."""
    path = ":".join(sys.path)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env={"PYTHONPATH": path}
    )


def test_nothing_is_traced_while_tracing_is_off() -> None:
    with span_from(PARENT, "work", node="n0") as span:
        assert not span.is_recording()
        assert current_traceparent() == ""


def test_no_span_is_made_while_tracing_is_off() -> None:
    assert span_from(PARENT, "work", node="n0") is span_from("", "other", kind="server")


def test_span_continues_the_trace_it_is_given() -> None:
    result = run(_TRACED % (PARENT, UNSAMPLED))
    inside, fresh, outside, recording, handed_on = json.loads(result.stdout)
    assert inside.split("-")[1] == PARENT.split("-")[1]
    assert inside.split("-")[2] != PARENT.split("-")[2]
    assert fresh
    assert fresh.split("-")[1] != PARENT.split("-")[1]
    assert outside == ""
    # Who began the trace decides whether it is kept.
    assert not recording
    assert handed_on.split("-")[1::2] == UNSAMPLED.split("-")[1::2]
    line = json.loads(result.stderr.splitlines()[0])
    assert [line["trace_id"], line["span_id"]] == inside.split("-")[1:3]


def test_end_of_a_process_does_not_wait_for_a_collector_that_is_away() -> None:
    """The exporter says so when it has given up, many seconds later."""
    assert "Failed to export" not in run(_TRACED % (PARENT, UNSAMPLED)).stderr


def test_logs_for_people_are_lines_of_text() -> None:
    first, *_ = run(_LOGGED.replace("json", "console")).stderr.splitlines()
    assert "thing.failed" in first
    assert "number=1" in first


def test_logs_are_json_lines_with_the_service_and_without_values_of_variables() -> None:
    output = run(_LOGGED).stderr
    ours, library = (json.loads(line) for line in output.splitlines())
    assert (ours["event"], ours["number"], ours["service"], ours["level"]) == ("thing.failed", 1, "test", "error")
    assert "RuntimeError" in json.dumps(ours)
    assert (library["event"], library["service"], library["logger"]) == ("old style", "test", "library")
    assert "hidden-value" not in output
