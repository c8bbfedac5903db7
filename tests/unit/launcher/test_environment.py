"""Variables of a task (engine-semantics §3.7)."""

from __future__ import annotations

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.environment import inherited_environment, task_environment


def attempt(**envs: str) -> AttemptScheduled:
    fact = AttemptScheduled(attempt=2, envs=envs)
    fact.execution_id.project, fact.execution_id.domain, fact.execution_id.name = "p", "d", "e"
    fact.workflow_id.project, fact.workflow_id.domain, fact.workflow_id.name = "p", "d", "wf"
    fact.task_id.project, fact.task_id.domain, fact.task_id.name, fact.task_id.version = "tp", "td", "t", "v"
    return fact


def test_names_of_execution_and_task_are_there() -> None:
    assert task_environment(attempt(), container=(), defaults={}) == {
        "FLYTE_INTERNAL_EXECUTION_WORKFLOW": "p:d:wf",
        "FLYTE_INTERNAL_EXECUTION_ID": "e",
        "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": "d",
        "FLYTE_ATTEMPT_NUMBER": "2",
        "FLYTE_INTERNAL_TASK_PROJECT": "tp",
        "FLYTE_INTERNAL_TASK_DOMAIN": "td",
        "FLYTE_INTERNAL_TASK_NAME": "t",
        "FLYTE_INTERNAL_TASK_VERSION": "v",
    }


def test_later_sources_win() -> None:
    names = ("A", "B", "C", "D")
    variables = task_environment(
        attempt(C="execution", D="execution"),
        base=dict.fromkeys(names, "base"),
        container=[(name, "container") for name in names[1:]],
        defaults={"D": "operator"},
    )
    assert [variables[name] for name in names] == ["base", "container", "execution", "operator"]


def test_task_inherits_the_machine_and_nothing_that_steers_us_or_is_secret() -> None:
    machine = {"PATH": "/bin", "LANG": "C", "FLIGHTLOG_LOG__PASSWORD": "x", "FLYTE_PLATFORM_URL": "x", "MY_S_KEY": "x"}
    assert inherited_environment(machine, hidden="MY_S_") == {"PATH": "/bin", "LANG": "C"}
