"""Tasks of an unmodified flytekit that its own connector server runs (k8s-contract §5.7, T105-T109)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyteidl.core import execution_pb2

from tests.integration.connectors.conftest import Runs, until

if TYPE_CHECKING:
    from tests.integration.connectors.serving import ConnectorServer

_Workflow, _Task = execution_pb2.WorkflowExecution, execution_pb2.TaskExecution


def test_a_job_goes_through_its_phases_and_gives_its_outputs(runs: Runs, connector: ConnectorServer) -> None:
    """T105."""
    run = runs.start("with_job", "all phases")
    closure = runs.end(run)
    assert closure.phase == _Workflow.SUCCEEDED, closure.error.message
    assert runs.output(run) == "done"
    (attempt,) = runs.attempts(run)
    reasons = [reason.message for reason in attempt.closure.reasons]
    assert [reason for reason in reasons if reason in ("launched", "look 0", "look 1", "look 2")] == [
        "launched",
        "look 0",
        "look 1",
        "look 2",
    ]
    assert attempt.closure.custom_info["cluster"] == "west"
    assert attempt.closure.metadata.plugin_identifier == "connector-service"
    (created,) = [call for call in connector.calls("create") if call["execution"] == run.name]
    assert len(connector.calls("get", job=created["meta"]["job"])) == 4
    assert connector.calls("delete", job=created["meta"]["job"]) == []
    assert created["namespace"] == "flytesnacks-development"
    assert created["labels"]["execution-id"] == run.name
    assert created["output_prefix"].endswith("/n0/data/0")


def test_versions_of_a_type_are_told_apart(runs: Runs, connector: ConnectorServer) -> None:
    connector.let("newer")
    run = runs.start("with_newer_job", "newer")
    assert runs.end(run).phase == _Workflow.SUCCEEDED
    assert [call["version"] for call in connector.calls("create", script="newer")] == [1]


def test_placeholders_of_a_functions_command_are_filled_in(runs: Runs, connector: ConnectorServer) -> None:
    connector.let("coded")
    run = runs.start("with_code", "coded")
    assert runs.end(run).phase == _Workflow.SUCCEEDED
    (created,) = connector.calls("create", script="coded")
    arguments = created["args"]
    assert arguments[arguments.index("--output-prefix") + 1] == created["output_prefix"]
    assert arguments[arguments.index("--inputs") + 1].endswith("/inputs.pb")
    assert "{{" not in " ".join(arguments)


def test_what_cannot_be_created_is_tried_again_with_the_users_retries(runs: Runs, connector: ConnectorServer) -> None:
    """T106."""
    run = runs.start("with_retried_job", "cannot be created")
    closure = runs.end(run)
    assert closure.phase == _Workflow.FAILED
    assert "out of clusters" in closure.error.message
    assert [attempt.closure.error.code for attempt in runs.attempts(run)] == ["TaskFailedWithError"] * 2
    assert [call["attempt"] for call in connector.calls("create", script="cannot be created")] == [0, 1]


def test_what_fails_has_failed_for_good(runs: Runs) -> None:
    run = runs.start("with_retried_job", "fails")
    closure = runs.end(run)
    assert closure.error.message.endswith("failed to run the job: bad query")
    (attempt,) = runs.attempts(run)
    assert attempt.closure.error.code == "TaskFailedWithError"
    assert attempt.closure.error.kind == execution_pb2.ExecutionError.USER


def test_what_cannot_be_looked_at_six_times_in_a_row_has_failed_for_good(
    runs: Runs, connector: ConnectorServer
) -> None:
    """T107."""
    run = runs.start("with_retried_job", "cannot be looked at")
    closure = runs.end(run)
    assert closure.phase == _Workflow.FAILED
    (attempt,) = runs.attempts(run)
    assert attempt.closure.error.code == "AutoRefreshCacheFailed"
    assert "the cluster's API is gone" in attempt.closure.error.message
    assert len(connector.calls("get", script="cannot be looked at")) == 6


def test_an_abort_deletes_what_was_created(runs: Runs, connector: ConnectorServer) -> None:
    """T108."""
    run = runs.start("with_job", "is aborted")
    until(lambda: runs.phase(run) == "RUNNING")
    runs.abort(run, "changed my mind")
    assert runs.end(run).phase == _Workflow.ABORTED
    (created,) = connector.calls("create", script="is aborted")
    (deleted,) = until(lambda: connector.calls("delete", script="is aborted"))
    assert deleted["meta"] == created["meta"]
    until(lambda: runs.phase(run) == "ABORTED")


def test_a_sync_connector_answers_at_once(runs: Runs, connector: ConnectorServer) -> None:
    """T109."""
    run, failing = runs.start("with_answer", "why"), runs.start("with_answer", "fails")
    assert runs.end(run).phase == _Workflow.SUCCEEDED
    assert runs.output(run) == "answer to why"
    assert len(connector.calls("do", script="why")) == 1
    assert "failed to run the job: no such model" in runs.end(failing).error.message
    assert connector.calls("get", script="why") == []


def test_a_type_that_nobody_serves_fails_and_says_so(runs: Runs) -> None:
    closure = runs.end(runs.start("with_nobodys", "any"))
    assert closure.phase == _Workflow.FAILED
    assert "'nobodys_type'" in closure.error.message
    assert "no connector" in closure.error.message


def test_a_killed_launcher_goes_on_with_the_same_job(runs: Runs, connector: ConnectorServer) -> None:
    run, ended = runs.start("with_job", "survives"), runs.start("with_job", "ends meanwhile")
    until(lambda: (runs.phase(run), runs.phase(ended)) == ("RUNNING", "RUNNING"))
    runs.kill_launcher()
    connector.let("ends meanwhile")
    assert runs.end(ended).phase == _Workflow.SUCCEEDED
    connector.let("survives")
    assert runs.end(run).phase == _Workflow.SUCCEEDED
    assert runs.output(run) == "survives"
    assert len(connector.calls("create", script="survives")) == 1
    assert len(connector.calls("create", script="ends meanwhile")) == 1


def test_a_connector_that_is_away_for_a_while_costs_nothing(runs: Runs, connector: ConnectorServer) -> None:
    begun = runs.start("with_job", "is begun")
    until(lambda: runs.phase(begun) == "RUNNING")
    connector.stop()
    waiting, later = runs.start("with_job", "comes meanwhile"), runs.start("with_job", "is never begun")
    until(lambda: runs.phase(waiting) == runs.phase(later) == "WAITING_FOR_RESOURCES")
    assert "cannot be reached" in runs.attempts(waiting)[0].closure.reason
    runs.abort(later, "not wanted")
    assert runs.end(later).phase == _Workflow.ABORTED
    connector.let("is begun")
    connector.let("comes meanwhile")
    connector.start()
    for run in (begun, waiting):
        assert runs.end(run).phase == _Workflow.SUCCEEDED
        assert [attempt.id.retry_attempt for attempt in runs.attempts(run)] == [0]
    assert len(connector.calls("create", script="is begun")) == 1
    assert connector.calls("create", script="is never begun") == []
