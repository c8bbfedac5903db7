"""Executions whose pods the API server does not take, from the API down to the cluster and back: what waits costs no
retry, and the real execution service decides what follows of the rest (k8s-contract §9.1 and §9.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from flyteidl.core import tasks_pb2
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution

from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD
from tests.kubernetes.quotas import QUOTA, set_quota
from tests.kubernetes.whole_runs import Stack, command, ended, failed
from tests.unit.kubernetes.pod_statuses import running, terminated
from tests.unit.kubernetes.pods.tasks import resources

USER = ExecutionError.USER
WAITING = TaskExecution.WAITING_FOR_RESOURCES


def needing(cpu: str) -> tasks_pb2.TaskTemplate:
    template = command()
    template.container.resources.CopyFrom(resources({"cpu": cpu}, {"cpu": cpu}))
    return template


@pytest_asyncio.fixture(loop_scope="session")
async def limited(stack: Stack) -> AsyncIterator[str]:
    """A domain whose pods may have a CPU in all."""
    domain = "staging"
    namespace = await stack.ready(domain)
    await set_quota(stack.api, namespace, limits_cpu="1", limits_memory="4Gi")
    yield domain
    await stack.api.delete(QUOTA, namespace, "q")


async def test_t28_a_task_that_no_pod_can_be_made_of_is_not_tried_again(stack: Stack) -> None:
    """T10, T26 and T32 as well: it is the same answer, for other reasons."""
    template = command()
    template.metadata.pod_template_name = "absent"
    run = await stack.run(template, retries=3)
    (attempt,) = await failed(run, "FailedToBuildResource")
    assert ended(attempt) == ("FAILED", "FailedToBuildResource", USER)
    assert await run.pods() == {}


async def test_t72_a_quota_is_waited_for_and_costs_no_retry(stack: Stack, limited: str) -> None:
    """T82: the task says nothing of memory, which the quota wants to be said."""
    first = await stack.run(needing("600m"), domain=limited)
    await first.play(0, "Running", running())
    second = await stack.run(needing("500m"), domain=limited)
    attempt = await second.attempt_in(WAITING)
    assert attempt.closure.reasons[-1].message.startswith("Exceeded resourcequota:")
    assert await second.pods() == {}
    await first.play(0, "Succeeded", terminated(0, "Completed"))
    await second.play(0, "Succeeded", terminated(0, "Completed"))
    for run in (first, second):
        assert (await run.end()).closure.phase == WorkflowExecution.SUCCEEDED
        assert len(await run.attempts()) == 1


async def test_t74_what_a_quota_never_gives_fails_for_good(stack: Stack, limited: str) -> None:
    run = await stack.run(needing("1500m"), retries=2, domain=limited)
    (attempt,) = await failed(run, "ResourceRequestsExceedLimits")
    assert ended(attempt)[2] == USER
    assert await run.pods() == {}


async def test_t73_what_equals_a_quota_is_let_in_when_it_is_its_turn(stack: Stack, limited: str) -> None:
    first = await stack.run(needing("100m"), domain=limited)
    await first.play(0, "Running", running())
    whole = await stack.run(needing("1"), domain=limited)
    await whole.attempt_in(WAITING)
    name = (await first.pod(0))["metadata"]["name"]
    await first.play(0, "Succeeded", terminated(0, "Completed"))
    await first.end()
    await stack.api.delete(POD, first.namespace, name, grace_seconds=0)
    await whole.play(0, "Succeeded", terminated(0, "Completed"))
    assert (await whole.end()).closure.phase == WorkflowExecution.SUCCEEDED


async def test_t77_a_pod_that_is_none_is_not_tried_again(stack: Stack) -> None:
    template = command()
    template.container.env.add(key="=", value="x")
    run = await stack.run(template, retries=2)
    (attempt,) = await failed(run, "BadTaskFormat")
    assert ended(attempt)[2] == USER


async def test_t78_a_pod_that_is_denied_uses_the_tasks_retries(stack: Stack) -> None:
    """T76 as well: it is the same answer, of another policy."""
    domain = "production"
    namespace = await stack.ready(domain)
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await stack.api.patch(NAMESPACE, None, namespace, labels)
    run = await stack.run(retries=1, domain=domain)
    attempts = await failed(run, "RetriesExhausted|RuntimeFailure")
    assert [ended(attempt) for attempt in attempts] == [("FAILED", "RuntimeFailure", USER)] * 2
    assert "PodSecurity" in attempts[0].closure.error.message
