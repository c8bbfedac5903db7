"""Which PodTemplate object holds for a task (k8s-contract §1.9, T27, T28), as a real API server has them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD_TEMPLATE, Object
from services.k8s_launcher.kubernetes.pod_templates import PodTemplates
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.task_templates import NotLaunchable
from tests.kubernetes.asking import going, until
from tests.unit.kubernetes.pods.tasks import task

DEFAULT = "flyte-default"


@pytest_asyncio.fixture(loop_scope="session")
async def own_namespace(api: Api, namespace: str) -> AsyncIterator[str]:
    """The launcher's."""
    name = f"{namespace}-own"
    await api.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await api.delete(NAMESPACE, None, name)


@pytest_asyncio.fixture(loop_scope="session")
async def templates(api: Api, own_namespace: str) -> AsyncIterator[PodTemplates]:
    made = PodTemplates(api, own_namespace, DEFAULT)
    async with going(made.informer.run()):
        await made.informer.synced.wait()
        yield made


def described(name: str, hostname: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": name},
        "template": {
            "metadata": {"labels": {"from": hostname}},
            "spec": {
                "hostname": hostname,
                "containers": [{"name": "default", "image": "noop", "env": [{"name": "FROM", "value": hostname}]}],
            },
        },
    }


def hostname(found: Object | None) -> str | None:
    return None if found is None else found["spec"]["hostname"]


async def test_named_template_is_the_namespaces_else_the_launchers(
    api: Api, namespace: str, own_namespace: str, templates: PodTemplates
) -> None:
    """T27."""
    await api.create(POD_TEMPLATE, own_namespace, described("big", "launchers"))
    assert hostname(await templates.for_task("big", namespace)) == "launchers"
    await api.create(POD_TEMPLATE, namespace, described("big", "tasks"))
    assert hostname(await templates.for_task("big", namespace)) == "tasks"


async def test_template_takes_the_place_of_the_default_one(
    api: Api, namespace: str, own_namespace: str, templates: PodTemplates
) -> None:
    assert await templates.for_task("", namespace) is None
    await api.create(POD_TEMPLATE, own_namespace, described(DEFAULT, "default"))
    await api.create(POD_TEMPLATE, namespace, described("named", "named"))

    async def default_holds() -> bool:
        return hostname(await templates.for_task("", namespace)) == "default"

    await until(default_holds)
    assert hostname(await templates.for_task("named", namespace)) == "named"
    await api.delete(POD_TEMPLATE, own_namespace, DEFAULT)
    await until(lambda: templates.informer.get(own_namespace, DEFAULT) is None)
    assert await templates.for_task("", namespace) is None


async def test_named_template_that_is_nowhere_makes_the_task_fail(namespace: str, templates: PodTemplates) -> None:
    """T28."""
    with pytest.raises(NotLaunchable, match="'absent'") as refused:
        await templates.for_task("absent", namespace)
    assert refused.value.code == "FailedToBuildResource"
    assert not refused.value.recoverable


async def test_template_as_the_api_keeps_it_gives_what_it_says_and_nothing_else(
    api: Api, namespace: str, templates: PodTemplates
) -> None:
    await api.create(POD_TEMPLATE, namespace, described("plain", "host"))
    found = await templates.for_task("plain", namespace)
    manifest = build_pod(task(pod_template=found)).manifest
    assert manifest["metadata"]["labels"]["from"] == "host"
    assert manifest["spec"]["hostname"] == "host"
    (container,) = manifest["spec"]["containers"]
    assert container["image"] == "task:1"
    assert container["env"][0] == {"name": "FROM", "value": "host"}
    # The API fills in what nobody says; the task's own goes before that too.
    assert manifest["spec"]["restartPolicy"] == "Never"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


async def test_template_that_names_no_scheduler_chooses_none(
    api: Api, namespace: str, own_namespace: str, templates: PodTemplates
) -> None:
    """The API server writes its default into templates; queues must not take it for the user's choice."""
    await api.create(POD_TEMPLATE, namespace, described("plain", "h"))
    found = await templates.for_task("plain", namespace)
    assert found is not None
    assert found["spec"]["schedulerName"] == "default-scheduler"
    assert "schedulerName" not in build_pod(task(pod_template=found)).manifest["spec"]
