"""What was resolved from matchable attributes when an execution was created: its attempts have it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flyteidl.admin.matchable_resource_pb2 import TaskResourceAttributes, TaskResourceSpec

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import Flow, Story


def test_every_attempt_says_what_the_platform_gives_and_allows() -> None:
    resources = TaskResourceAttributes(
        defaults=TaskResourceSpec(cpu="1"), limits=TaskResourceSpec(cpu="2", memory="4Gi")
    )

    def change(created: facts.ExecutionCreated) -> None:
        created.config.task_resources.CopyFrom(resources)

    story = Story(Flow().task("a", retries=1).task("b"), {"x": 1}, change=change)
    story.start()
    scheduled = [fact for fact in story.history if isinstance(fact, facts.AttemptScheduled)]
    assert [fact.task_resources for fact in scheduled] == [resources, resources]


def test_without_any_the_launcher_decides() -> None:
    story = Story(Flow().task("a"), {"x": 1})
    story.start()
    assert not story.last(facts.AttemptScheduled).HasField("task_resources")


@pytest.mark.parametrize(("execution", "workflow", "expected"), [(None, 0, 8), (None, 7, 7), (5, 7, 5), (0, 0, None)])
def test_a_budget_of_attributes_comes_after_the_workflows_own(
    execution: int | None, workflow: int, expected: int | None
) -> None:
    def change(created: facts.ExecutionCreated) -> None:
        created.config.default_queueing_budget.FromTimedelta(timedelta(seconds=8))
        if execution is not None:
            created.config.queueing_budget.FromTimedelta(timedelta(seconds=execution))

    flow = Flow().task("n0")
    if workflow:
        flow.metadata.quality_of_service.spec.queueing_budget.seconds = workflow
    story = Story(flow, {"x": 1}, change=change, settings=engine.EngineSettings(queueing_budget=timedelta(seconds=9)))
    story.start()
    armed = [
        fact.due.seconds - int(story.now.timestamp()) for fact in story.history if isinstance(fact, facts.TimerSet)
    ]
    assert armed == ([] if expected is None else [expected])
