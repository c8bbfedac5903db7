"""What projects have in the cluster, on a real API server (k8s-contract §7, T118-T120)."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio
from flyteidl.admin.matchable_resource_pb2 import CLUSTER_RESOURCE, ClusterResourceAttributes, MatchingAttributes
from flyteidl.admin.project_pb2 import Project
from google.protobuf.message import Message
from prometheus_client import REGISTRY

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Log, LogSettings, Subject
from flightlog_protos.registry.v1.facts_pb2 import AttributesUpdated, ProjectRegistered, ProjectUpdated
from services.k8s_launcher.kubernetes.api import Api, Patch
from services.k8s_launcher.kubernetes.api_errors import ApiRefused, ApiUnreachable
from services.k8s_launcher.kubernetes.cluster_resources.projects import Projects
from services.k8s_launcher.kubernetes.cluster_resources.syncing import ClusterResources
from services.k8s_launcher.kubernetes.credentials import Credentials
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD, SECRET, Kind, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.launching import Launching

SHIPPED = Path(__file__).parents[2] / "deploy" / "k8s" / "components" / "project-namespaces" / "templates"
CAUSE = Cause.service("test")
VALUES = {
    "projectQuotaCpu": "4",
    "projectQuotaMemory": "3000Mi",
    "defaultIamRole": "arn:tasks",
}
"""Of all shipped templates."""
QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
CONFIG = Kind("v1", "ConfigMap", "configmaps")
NAMESPACE_FILE = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: '{{ namespace }}'\n"


class _OwnProjects(Projects):
    """Of one test: the others are on the log too."""

    def __init__(self, own: list[str]) -> None:
        super().__init__()
        self._own = own

    def active(self) -> list[str]:
        return [project for project in super().active() if project in self._own]


@dataclass
class World:
    """A registry's log, a cluster, and a folder of templates."""

    log: Log
    api: Api
    settings: KubernetesSettings
    templates: Path
    store: BlobSettings
    projects: list[str] = field(default_factory=list[str])

    def resources(self, *, namespaces: str = "", **given: Any) -> ClusterResources:
        """What keeps the cluster; not at work yet."""
        own = {"directory": self.templates, "domains": ["development", "staging"], **given}
        wanted = self.settings.model_copy(
            update={
                "cluster_resources": type(self.settings.cluster_resources).model_validate(own),
                "namespace_template": namespaces or self.settings.namespace_template,
            }
        )
        made = ClusterResources(self.api, self.log, wanted, Credentials(self.api, wanted, self.store).keep)
        made._projects = _OwnProjects(self.projects)  # pyright: ignore[reportPrivateUsage]
        return made

    def template(self, file: str, text: str) -> None:
        (self.templates / file).write_text(text)

    def config(self, name: str, value: str, *, file: str = "config.yaml") -> None:
        """A template of a ConfigMap with one value."""
        text = f'apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  value: "{value}"\n'
        self.template(file, text)

    async def registers(self) -> str:
        project = f"p{uuid4().hex[:10]}"
        self.projects.append(project)
        await self.says(project, ProjectRegistered(project=Project(id=project)))
        return project

    async def says(self, project: str, *facts: Message) -> None:
        """What the registry would append to the project."""
        subject = Subject.of("REGISTRY", "project", project)
        await self.log.append(subject, facts, head=await self.log.head(subject), cause=CAUSE)

    async def sets(self, project: str, domain: str, **attributes: str) -> None:
        given = MatchingAttributes(cluster_resource_attributes=ClusterResourceAttributes(attributes=attributes))
        fact = AttributesUpdated(project=project, domain=domain, resource_type=CLUSTER_RESOURCE, attributes=given)
        await self.says(project, fact)

    async def found(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        try:
            return await self.api.get(kind, namespace, name)
        except ApiRefused as refusal:
            if refusal.not_found:
                return None
            raise

    async def when(
        self, kind: Kind, namespace: str | None, name: str, holds: Callable[[Object], bool] = lambda _: True
    ) -> Object:
        """An object as soon as it is there and something holds for it."""
        only = f"metadata.name={name}"
        async with asyncio.timeout(60):
            listed = await self.api.list(kind, namespace, field_selector=only)
            for seen in listed.items:
                if holds(seen):
                    return seen
            watched = self.api.watch(
                kind, namespace, resource_version=listed.resource_version, field_selector=only, seconds=60
            )
            async with aclosing(watched) as events:
                async for what, seen in events:
                    if what in ("ADDED", "MODIFIED") and holds(seen):
                        return seen
        raise AssertionError(f"the watch of {name} ended")

    async def deletes(self, namespace: str) -> None:
        """Deletes a namespace and waits until it is gone."""
        only = f"metadata.name={namespace}"
        async with asyncio.timeout(60):
            version = (await self.api.list(NAMESPACE, field_selector=only)).resource_version
            await self.api.delete(NAMESPACE, None, namespace)
            watched = self.api.watch(NAMESPACE, resource_version=version, field_selector=only, seconds=60)
            async with aclosing(watched) as events:
                async for what, _ in events:
                    if what == "DELETED":
                        return
        raise AssertionError(f"the watch of {namespace} ended")

    async def config_with(self, project: str, name: str, value: str) -> Object:
        """The development domain's ConfigMap, once it has this value."""
        return await self.when(CONFIG, f"{project}-development", name, lambda made: made["data"]["value"] == value)


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    api: Api,
    kubernetes_settings: KubernetesSettings,
    log_settings: LogSettings,
    blob_settings: BlobSettings,
    tmp_path: Path,
) -> AsyncIterator[World]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    templates = tmp_path / "templates"
    templates.mkdir()
    world = World(log, api, kubernetes_settings, templates, blob_settings)
    world.template("aa-namespace.yaml", NAMESPACE_FILE)
    yield world
    for project in world.projects:
        for domain in ("development", "staging"):
            if await world.found(NAMESPACE, None, f"{project}-{domain}") is not None:
                await api.delete(NAMESPACE, None, f"{project}-{domain}")
    await log.close()
    await blobs.close()


@pytest_asyncio.fixture(loop_scope="session")
async def at_work(world: World) -> AsyncIterator[Callable[..., ClusterResources]]:
    """Sets something to work, until the test ends."""
    tasks: list[asyncio.Task[None]] = []

    def begin(**given: Any) -> ClusterResources:
        resources = world.resources(**given)
        tasks.append(asyncio.create_task(resources.run()))
        return resources

    yield begin
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, asyncio.CancelledError), result


def failing(file: str) -> float:
    return REGISTRY.get_sample_value("flightlog_cluster_resources_failing", {"file": file}) or 0.0


def applied(file: str) -> float:
    return REGISTRY.get_sample_value("flightlog_cluster_resources_applied_total", {"file": file}) or 0.0


async def test_a_new_project_gets_a_namespace_and_a_quota_for_each_domain(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    """T118, with the templates that are shipped."""
    early = await world.registers()
    at_work(
        directory=SHIPPED, values=VALUES, domain_values={"staging": {"projectQuotaCpu": "2"}}, refresh_seconds=3600.0
    )
    for project in (early, await world.registers()):
        for domain, cpu in (("development", "4"), ("staging", "2")):
            quota = await world.when(QUOTA, f"{project}-{domain}", "project-quota")
            assert quota["spec"]["hard"] == {"limits.cpu": cpu, "limits.memory": "3000Mi"}
            keys = await world.when(SECRET, f"{project}-{domain}", "flightlog-tasks-object-store")
            assert b64decode(keys["data"]["FLYTE_AWS_ACCESS_KEY_ID"]).decode() == world.store.access_key
            account = await world.when(
                ACCOUNT, f"{project}-{domain}", "default", lambda seen: "annotations" in seen["metadata"]
            )
            assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:tasks"}
    assert [failing(path.name) for path in SHIPPED.glob("*.yaml")] == [0.0] * 3
    assert failing("credentials") == 0


async def test_attributes_change_a_quota_and_what_others_set_in_it_stays(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    """T119, without waiting for the next round."""
    project = await world.registers()
    namespace = f"{project}-development"
    at_work(directory=SHIPPED, values=VALUES, refresh_seconds=3600.0)
    await world.when(QUOTA, namespace, "project-quota")
    foreign: Object = {"metadata": {"labels": {"team": "theirs"}}, "spec": {"hard": {"count/pods": "100"}}}
    await world.api.patch(QUOTA, namespace, "project-quota", foreign, how=Patch.MERGE, field_manager="somebody")
    await world.sets(project, "development", projectQuotaCpu="16")
    quota = await world.when(QUOTA, namespace, "project-quota", lambda seen: seen["spec"]["hard"]["limits.cpu"] == "16")
    assert quota["spec"]["hard"] == {"limits.cpu": "16", "limits.memory": "3000Mi", "count/pods": "100"}
    assert quota["metadata"]["labels"]["team"] == "theirs"
    untouched = await world.when(QUOTA, f"{project}-staging", "project-quota")
    assert untouched["spec"]["hard"]["limits.cpu"] == "4"


async def test_of_an_archived_project_nothing_is_deleted_and_nothing_changes(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    """T120."""
    archived, other = await world.registers(), await world.registers()
    world.config("settings", "{{ level }}")
    at_work(values={"level": "low"}, refresh_seconds=3600.0)
    for project in (archived, other):
        await world.config_with(project, "settings", "low")
    await world.says(archived, ProjectUpdated(project=Project(id=archived, state=Project.ARCHIVED)))
    for project in (archived, other):
        await world.sets(project, "development", level="high")
    await world.config_with(other, "settings", "high")
    await world.config_with(archived, "settings", "low")
    assert (await world.api.get(NAMESPACE, None, f"{archived}-development"))["status"]["phase"] == "Active"
    await world.says(archived, ProjectUpdated(project=Project(id=archived)))
    await world.config_with(archived, "settings", "high")


async def test_an_object_that_is_there_already_is_completed(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    project = await world.registers()
    namespace = f"{project}-development"
    labelled = {"name": namespace, "labels": {"a": "b"}}
    await world.api.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": labelled})
    await world.when(ACCOUNT, namespace, "default")
    world.template(
        "account.yaml",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: default\n"
        "  annotations:\n    eks.amazonaws.com/role-arn: '{{ defaultIamRole }}'\n",
    )
    at_work(values={"defaultIamRole": "arn:tasks"})
    account = await world.when(ACCOUNT, namespace, "default", lambda seen: "annotations" in seen["metadata"])
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:tasks"}
    assert (await world.api.get(NAMESPACE, None, namespace))["metadata"]["labels"]["a"] == "b"


async def test_what_is_removed_from_a_template_is_removed_from_the_object_alone(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    project = await world.registers()
    namespace = f"{project}-development"
    two = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {first: '1', second: '2'}\n"
    world.template("config.yaml", two)
    at_work(refresh_seconds=0.05)
    await world.when(CONFIG, namespace, "settings")
    world.template("config.yaml", two.replace(", second: '2'", ""))
    await world.when(CONFIG, namespace, "settings", lambda seen: seen["data"] == {"first": "1"})
    (world.templates / "config.yaml").unlink()
    world.config("other", "x", file="other.yaml")
    await world.config_with(project, "other", "x")
    kept = await world.api.get(CONFIG, namespace, "settings")
    assert kept["data"] == {"first": "1"}, "nothing is deleted"


async def test_what_has_not_changed_is_not_applied_again(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    project = await world.registers()
    world.config("settings", "{{ namespace }}", file="unchanged.yaml")
    world.config("marker", "1", file="marker.yaml")
    at_work(refresh_seconds=0.05, domains=["development"])
    before = -1.0
    for number in ("2", "3", "4"):
        world.config("marker", number, file="marker.yaml")
        await world.config_with(project, "marker", number)
        # With the second round the first one is over, for all projects.
        before = applied("unchanged.yaml") if number == "3" else before
    assert applied("unchanged.yaml") == before >= 1


async def test_a_file_that_fails_is_named_and_keeps_no_other_from_being_applied(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    project = await world.registers()
    world.config("unknown", "{{ nobodySaid }}", file="b-unknown.yaml")
    world.template("c-strange.yaml", "apiVersion: example.com/v1\nkind: Strange\nmetadata: {name: a}\n")
    refused = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: a}\nspec: {hard: {cpu: x}}\n"
    world.template("d-refused.yaml", refused)
    world.config("good", "x", file="e-good.yaml")
    resources = at_work(refresh_seconds=0.2, domains=["development"])
    await world.config_with(project, "good", "x")
    failures = await resources.ensure(project, "development")
    assert list(failures) == ["b-unknown.yaml", "c-strange.yaml", "d-refused.yaml"]
    assert failures["b-unknown.yaml"] == "without a value: {{ nobodySaid }}"
    assert failures["c-strange.yaml"] == "the cluster has no Strange of example.com/v1"
    assert all(failing(file) >= 1 for file in failures)
    assert failing("e-good.yaml") == 0
    await world.sets(project, "development", nobodySaid="now")
    await world.config_with(project, "unknown", "now")


async def test_a_namespace_that_is_gone_is_made_when_it_is_needed(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    project = await world.registers()
    namespace = f"{project}-development"
    world.config("settings", "x", file="needed.yaml")
    resources = at_work(refresh_seconds=3600.0)
    first = await world.config_with(project, "settings", "x")
    await world.when(CONFIG, f"{project}-staging", "settings")
    await world.deletes(namespace)
    before = applied("needed.yaml")
    answers = await asyncio.gather(*(resources.ensure(project, "development") for _ in range(20)))
    assert answers == [{}] * 20
    # Once for the first, and once for all who asked after that had begun.
    assert applied("needed.yaml") == before + 2
    second = await world.api.get(CONFIG, namespace, "settings")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_an_attempt_whose_namespace_is_missing_is_launched_all_the_same(
    world: World, at_work: Callable[..., ClusterResources], launching: Launching
) -> None:
    resources = at_work(namespaces="late-{project}-{domain}", refresh_seconds=3600.0)
    async with launching.launcher(make_namespace=resources.ensure, namespace_template="late-{project}-{domain}"):
        fact = await launching.schedule()
        pod = await world.when(POD, f"late-{launching.namespace}", fact.generated_name)
        assert pod["spec"]["containers"][0]["image"] == "nowhere/nothing:1"
        assert await world.found(SECRET, f"late-{launching.namespace}", "flightlog-tasks-object-store") is not None
    await world.api.delete(NAMESPACE, None, f"late-{launching.namespace}")


async def test_templates_that_cannot_be_read_are_said_and_read_later(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    project = await world.registers()
    folder = world.templates / "later"
    resources = at_work(directory=folder, refresh_seconds=0.1)
    (failure,) = (await resources.ensure(project, "development")).values()
    assert str(folder) in failure
    assert failing("sources") >= 1
    folder.mkdir()
    (folder / "namespace.yaml").write_text(NAMESPACE_FILE)
    await world.when(NAMESPACE, None, f"{project}-development")


async def test_keys_that_cannot_be_kept_are_a_failure_like_others(
    world: World, at_work: Callable[..., ClusterResources]
) -> None:
    project = await world.registers()
    world.config("good", "x")
    resources = at_work(refresh_seconds=3600.0, domains=["development"])
    away = ApiUnreachable("the API went away")

    async def refuses(namespace: str) -> None:
        raise away

    resources._keep_credentials = refuses  # pyright: ignore[reportPrivateUsage]
    assert await resources.ensure(project, "development") == {"credentials": str(away)}
    assert failing("credentials") == 1
    await world.config_with(project, "good", "x")


async def test_attributes_make_no_objects(world: World, at_work: Callable[..., ClusterResources]) -> None:
    """A value with lines of its own could say whatever a template could."""
    world.config("made", "{{ value }}")
    project = await world.registers()
    other = 'x"\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: smuggled}\ndata:\n  value: "'
    await world.sets(project, "development", value=other)
    resources = at_work(values={"value": "plain"}, domains=["development"])
    assert await resources.ensure(project, "development") == {
        "attributes": "the attribute value has more than one line"
    }
    await world.sets(project, "development", value="mine")
    await world.config_with(project, "made", "mine")
    assert await world.found(CONFIG, f"{project}-development", "smuggled") is None


async def test_where_it_is_off_nothing_is_made(world: World, at_work: Callable[..., ClusterResources]) -> None:
    project = await world.registers()
    resources = at_work(enabled=False)
    assert await resources.ensure(project, "development") == {}
    assert await world.found(NAMESPACE, None, f"{project}-development") is None
