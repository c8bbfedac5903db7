"""Part C of the table: what tasks find around them."""

from __future__ import annotations

import urllib.request

import pytest
from flyteidl.service import dataproxy_pb2

from tests.conformance.client import Start
from tests.conformance.runs import DOMAIN, PROJECT, Run

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(41)
@runs(Start("environment.surroundings", arguments={"envs": {"GREETING": "hello"}}))
def test_tasks_know_where_they_belong(run: Run) -> None:
    seen = run.succeed().output
    version = run.backend.version
    expected = {
        "FLYTE_INTERNAL_EXECUTION_ID": run.name,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": PROJECT,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": DOMAIN,
        "FLYTE_INTERNAL_EXECUTION_WORKFLOW": f"{PROJECT}:{DOMAIN}:environment.surroundings",
        "FLYTE_INTERNAL_TASK_PROJECT": PROJECT,
        "FLYTE_INTERNAL_TASK_DOMAIN": DOMAIN,
        "FLYTE_INTERNAL_TASK_NAME": "environment.variables",
        "FLYTE_INTERNAL_TASK_VERSION": version,
        "FLYTE_ATTEMPT_NUMBER": "0",
        "GREETING": "hello",
    }
    assert {name: seen.get(name) for name in expected} == expected


@rows(41)
@runs(Start("environment.own_surroundings"))
def test_tasks_have_variables_of_their_own(run: Run) -> None:
    assert run.succeed().output == {"GREETING": "from the task", "OWN": "yes"}


@rows(42)
@runs(Start("environment.checkpointed"))
def test_attempts_go_on_at_the_checkpoint_of_the_one_before(run: Run) -> None:
    assert run.succeed().output == [0, 1, 2]


@rows(44)
@runs(Start("environment.decked"), Start("environment.decked_failure"))
def test_decks_are_linked_and_can_be_fetched(runs: list[Run]) -> None:
    runs[0].succeed()
    runs[1].fail()
    for run in runs:
        node = run.node("n0")
        assert node.closure.deck_uri.endswith("deck.html")
        request = dataproxy_pb2.CreateDownloadLinkRequest(
            artifact_type=dataproxy_pb2.ARTIFACT_TYPE_DECK, node_execution_id=node.row.id
        )
        (link,) = run.backend.data.CreateDownloadLink(request).pre_signed_urls.signed_url
        with urllib.request.urlopen(link) as answer:
            assert "the number is 5" in answer.read().decode()


@rows(47)
@runs(Start("environment.command"))
def test_inputs_are_rendered_into_commands(run: Run) -> None:
    run.succeed()


@rows(45)
@runs(Start("environment.overridden"))
def test_nodes_may_ask_for_other_resources(run: Run) -> None:
    """What a pod would show belongs to Kubernetes; here, that such a node runs and its compiled form says so."""
    assert run.succeed().output == 1
    workflow = run.backend.workflow("environment.overridden").closure.compiled_workflow.primary.template
    (node,) = [node for node in workflow.nodes if node.id == "n0"]
    values = {entry.value for entry in node.task_node.overrides.resources.requests}
    assert values == {"60m", "210Mi"}
