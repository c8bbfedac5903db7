"""A launcher on a real cluster and a real log, with the tests playing the execution service and the kubelet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from flyteidl.core import compiler_pb2, literals_pb2, tasks_pb2

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Log, LogSettings, Subject
from flightlog_protos.execution.v1.facts_pb2 import AttemptAborting, AttemptScheduled, ExecutionSucceeded
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes import service
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.credentials import Credentials
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD, Kind, Object
from services.k8s_launcher.kubernetes.runtime import KubernetesRuntime
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.orders import Order, Orders
from services.k8s_launcher.runtime import FINAL
from services.k8s_launcher.settings import Settings
from services.k8s_launcher.shell import ORDERS, Launcher, Observer
from tests.kubernetes.accounts import has_account
from tests.kubernetes.asking import until

DOMAIN = "d"
ENDED = tuple(FINAL)


class _OwnOrders(Orders):
    """Of one project: the tests share the stream."""

    def __init__(self, log: Log, project: str) -> None:
        super().__init__(log)
        self._project = project

    async def kept(self) -> AsyncIterator[Order]:
        async for order in super().kept():
            if order.key.project == self._project:
                yield order


class Launching:
    """One project of its own: its executions, its namespace, its launchers."""

    def __init__(self, api: Api, log: Log, blobs: BlobStore, settings: Settings, project: str) -> None:
        self.api = api
        self.log = log
        self.blobs = blobs
        self.settings = settings
        self.project = project
        self.namespace = f"{project}-{DOMAIN}"
        self.durable = f"launcher-{project}"

    @asynccontextmanager
    async def launcher(
        self,
        *,
        api: Api | None = None,
        make_namespace: Callable[[str, str], Awaitable[object]] | None = None,
        report: Callable[..., Awaitable[None]] | None = None,
        **kubernetes: Any,
    ) -> AsyncIterator[KubernetesRuntime]:
        """Run a launcher beside the block; it ends with the block, as if killed. Another one is its successor."""
        settings = self.settings.model_copy(update={"kubernetes": _updated(self.settings.kubernetes, kubernetes)})

        async def nothing(project: str, domain: str) -> None:
            return

        runtime = service.new_runtime(
            settings,
            api or self.api,
            self.log,
            self.blobs,
            report or Observer(self.log).report,
            make_namespace or nothing,  # pyright: ignore[reportArgumentType]
            Credentials(api or self.api, settings.kubernetes, settings.blobs),
        )
        runtime._orders = _OwnOrders(self.log, self.project)  # pyright: ignore[reportPrivateUsage]
        await runtime.adopt()
        launcher = Launcher(self.log, runtime)
        launcher._begun_at = await self.log.stream_sequence("EXECUTION")  # pyright: ignore[reportPrivateUsage]

        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(runtime.run()),
                tasks.create_task(
                    self.log.consume(
                        "EXECUTION", self.durable, launcher.take, facts=ORDERS, subjects=f"execution.*.{self.project}.>"
                    )
                ),
            ]
            try:
                yield runtime
            finally:
                for task in working:
                    task.cancel()

    async def schedule(
        self,
        template: tasks_pb2.TaskTemplate | None = None,
        *,
        execution: str = "",
        node: str = "n0",
        attempt: int = 0,
        **fields: Any,
    ) -> AttemptScheduled:
        """Order an attempt."""
        fact = await self.attempt(template, execution=execution, node=node, attempt=attempt, **fields)
        await self.append(fact.execution_id.name, fact)
        return fact

    async def attempt(
        self,
        template: tasks_pb2.TaskTemplate | None = None,
        *,
        execution: str = "",
        node: str = "n0",
        attempt: int = 0,
        **fields: Any,
    ) -> AttemptScheduled:
        """The order alone, with what it refers to in the object store."""
        template = template or task()
        execution = execution or f"e{uuid4().hex[:18]}"
        prefix = f"metadata/{self.namespace}-{execution}/{node}/data"
        closure = compiler_pb2.CompiledWorkflowClosure(tasks=[compiler_pb2.CompiledTask(template=template)])
        fact = AttemptScheduled(
            node_id=node,
            attempt=attempt,
            task_id=template.id,
            task_type=template.type,
            generated_name=f"{execution}-{node}-{attempt}",
            closure=await self.blobs.put_content(self.blobs.uri("closures"), closure.SerializeToString()),
            inputs=await self.blobs.put(
                self.blobs.uri(prefix, "inputs.pb"), literals_pb2.LiteralMap().SerializeToString()
            ),
            output_prefix=self.blobs.uri(prefix, str(attempt)),
            raw_output_prefix=self.blobs.uri("raw", execution, str(attempt)),
            checkpoint_prefix=self.blobs.uri("raw", execution, str(attempt), "_flytecheckpoints"),
        )
        fact.execution_id.project, fact.execution_id.domain, fact.execution_id.name = self.project, DOMAIN, execution
        fact.workflow_id.project, fact.workflow_id.domain, fact.workflow_id.name = self.project, DOMAIN, "wf"
        fact.occurred_at.GetCurrentTime()
        fact.MergeFrom(AttemptScheduled(**fields))
        return fact

    async def append(self, execution: str, *facts: Any) -> None:
        subject = Subject.of("EXECUTION", self.project, DOMAIN, execution)
        await self.log.append(subject, facts, head=await self.log.head(subject), cause=Cause.service("execution"))

    async def abort(self, fact: AttemptScheduled, reason: str = "not wanted") -> None:
        aborting = AttemptAborting(node_id=fact.node_id, attempt=fact.attempt, reason=reason)
        await self.append(fact.execution_id.name, aborting)

    async def succeed(self, execution: str) -> None:
        """The execution is over."""
        await self.append(execution, ExecutionSucceeded())

    async def observed(self, fact: AttemptScheduled) -> list[AttemptObserved]:
        """All observations of an attempt so far."""
        recorded = await self.log.load(Subject.of("LAUNCHER", self.project, DOMAIN, fact.execution_id.name))
        facts = [item for record in recorded for item in record.facts if isinstance(item, AttemptObserved)]
        return [item for item in facts if (item.node_id, item.attempt) == (fact.node_id, fact.attempt)]

    async def stages(self, fact: AttemptScheduled) -> list[str]:
        return [AttemptObserved.Stage.Name(item.stage) for item in await self.observed(fact)]

    async def until(self, fact: AttemptScheduled, *stages: AttemptObserved.Stage) -> AttemptObserved:
        """Wait for an observation of one of the stages."""

        async def found() -> AttemptObserved | None:
            return next((item for item in await self.observed(fact) if item.stage in stages), None)

        try:
            observed = await until(found)
        except TimeoutError:
            said = [(AttemptObserved.Stage.Name(item.stage), item.reason) for item in await self.observed(fact)]
            raise AssertionError(f"only {said} was observed of {fact.generated_name}") from None
        assert observed is not None
        return observed

    async def end(self, fact: AttemptScheduled) -> AttemptObserved:
        return await self.until(fact, *ENDED)

    async def pod(self, fact: AttemptScheduled) -> Object | None:
        """The attempt's pod; None: there is none."""
        return await self.thing(POD, fact.generated_name)

    async def thing(self, kind: Kind, name: str) -> Object | None:
        try:
            return await self.api.get(kind, self.namespace, name)
        except ApiRefused as refusal:
            if refusal.not_found:
                return None
            raise

    async def pods(self) -> list[str]:
        """Names of all pods of the project."""
        return sorted(pod["metadata"]["name"] for pod in (await self.api.list(POD, self.namespace)).items)

    async def play(self, fact: AttemptScheduled, **status: Any) -> None:
        """Be the kubelet: write a pod's status."""
        await self.api.patch(POD, self.namespace, fact.generated_name, {"status": status}, subresource="status")

    async def runs(self, fact: AttemptScheduled) -> None:
        await self.until(fact, AttemptObserved.QUEUED)
        state = {"running": {"startedAt": _now()}}
        await self.play(fact, phase="Running", containerStatuses=[_container(fact, state, ready=True)])
        await self.until(fact, AttemptObserved.RUNNING)

    async def succeeds(self, fact: AttemptScheduled) -> None:
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": _now()}}
        await self.play(fact, phase="Succeeded", containerStatuses=[_container(fact, state)])

    async def kept(self) -> list[Order]:
        """Orders of the project that are not done."""
        return [order async for order in _OwnOrders(self.log, self.project).kept()]

    async def quota(self, **hard: str) -> None:
        """A ResourceQuota, in force when this returns. Underscores stand for dots."""
        kind = Kind("v1", "ResourceQuota", "resourcequotas")
        named = {name.replace("_", "."): value for name, value in hard.items()}
        manifest = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": named}}
        await self.api.create(kind, self.namespace, manifest)

        async def counted() -> bool:
            found = await self.api.get(kind, self.namespace, "q")
            return set(found.get("status", {}).get("used", {})) == set(named)

        await until(counted)


def task(
    *,
    cpu: str = "",
    gpu: str = "",
    kind: str = "python-task",
    container: bool = True,
    limits: Mapping[int, str] | None = None,
) -> tasks_pb2.TaskTemplate:
    """A task that runs a command."""
    template = tasks_pb2.TaskTemplate(type=kind)
    template.id.name, template.id.version, template.id.project, template.id.domain = "t", "v1", "p", DOMAIN
    if container:
        template.container.image = "nowhere/nothing:1"
        template.container.args.append("true")
        for name, value in ((tasks_pb2.Resources.CPU, cpu), (tasks_pb2.Resources.GPU, gpu)):
            if value:
                template.container.resources.limits.add(name=name, value=value)
                template.container.resources.requests.add(name=name, value=value)
    return template


@asynccontextmanager
async def launching_on(
    api: Api, kubernetes: KubernetesSettings, log_settings: LogSettings, blob_settings: BlobSettings
) -> AsyncIterator[Launching]:
    """A project with an empty namespace, which stays when it ends."""
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="launching-tests")
    project = f"p{uuid4().hex[:10]}"
    chosen = _updated(
        kubernetes,
        {
            "instance": project,
            "launching": {"backoff_first_seconds": 0.05, "backoff_longest_seconds": 0.2},
            "task_resources": {"limits": {"cpu": "0", "memory": "0", "gpu": "0"}},
            "pods": {"scheduler_name": "nobody"},
        },
    )
    settings = Settings.model_validate(
        {
            "log": log_settings,
            "blobs": blob_settings,
            "launcher": {"runtime": "kubernetes"},
            "kubernetes": chosen,
        }
    )
    launching = Launching(api, log, blobs, settings, project)
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": launching.namespace}}
    await api.create(NAMESPACE, None, manifest)
    await until(lambda: has_account(api, launching.namespace))
    try:
        yield launching
    finally:
        for order in await launching.kept():
            await Orders(log).drop(order)
        await log.forget("EXECUTION", launching.durable)
        await log.close()
        await blobs.close()


def _updated(settings: KubernetesSettings, changes: Mapping[str, Any]) -> KubernetesSettings:
    given = settings.model_dump(exclude_unset=True)
    for name, value in changes.items():
        given[name] = {**given.get(name, {}), **value} if isinstance(value, dict) else value
    return KubernetesSettings.model_validate(given)


def _container(fact: AttemptScheduled, state: Mapping[str, Any], *, ready: bool = False) -> Object:
    return {
        "name": fact.generated_name,
        "image": "nowhere/nothing:1",
        "imageID": "",
        "ready": ready,
        "restartCount": 0,
        "state": state,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
