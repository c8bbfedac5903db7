"""The launcher on Kubernetes: one of several leads and works, the others stand by to take its place."""

from __future__ import annotations

import asyncio
import os
import platform
from contextlib import AsyncExitStack
from uuid import uuid4

import structlog

from flightlog_blobs import BlobStore
from flightlog_log import Log, LogUnavailable
from flightlog_service import Ready, running
from services.k8s_launcher.connectors.requests import Requests
from services.k8s_launcher.dispatching import CONTAINER_TYPES, with_connectors
from services.k8s_launcher.history import History
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.building import Building
from services.k8s_launcher.kubernetes.cluster_resources.syncing import ClusterResources
from services.k8s_launcher.kubernetes.creating import MakeNamespace
from services.k8s_launcher.kubernetes.credentials import Credentials
from services.k8s_launcher.kubernetes.dispatch import operator_types
from services.k8s_launcher.kubernetes.lease import Leadership, lead
from services.k8s_launcher.kubernetes.pod_templates import PodTemplates
from services.k8s_launcher.kubernetes.runtime import KubernetesRuntime
from services.k8s_launcher.orders import Orders
from services.k8s_launcher.runtime import Report, Runtime
from services.k8s_launcher.settings import Settings
from services.k8s_launcher.shell import Launcher, Observer
from services.k8s_launcher.task_templates import TaskTemplates

_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


async def run_on_kubernetes(settings: Settings, log: Log, blobs: BlobStore, ready: Ready) -> None:
    """Stands by, and launches and watches while it leads, until cancelled. Ready as soon as it stands by."""
    async with AsyncExitStack() as stack:
        api = await Api.open(settings.kubernetes)
        stack.push_async_callback(api.close)

        async def work(leadership: Leadership) -> None:
            credentials = Credentials(api, settings.kubernetes, settings.blobs)
            resources = ClusterResources(api, log, settings.kubernetes, credentials.keep)
            report = Observer(log).report
            own = new_runtime(settings, api, log, blobs, report, resources.ensure, credentials)
            requests = Requests(
                TaskTemplates(blobs), namespace_template=settings.kubernetes.namespace_template, pod_of=own.pod_of
            )
            types = {*CONTAINER_TYPES, *operator_types()}
            connectors = settings.launcher.connectors
            async with with_connectors(
                connectors, own, types, requests, log=log, blobs=blobs, report=report
            ) as runtime:
                await _adopted(runtime)
                launcher = Launcher(log, runtime, max_in_flight=settings.launcher.max_in_flight)
                async with running(resources.run(), runtime.run(), launcher.run()):
                    await asyncio.Event().wait()

        ready(None)
        identity = f"{platform.node()}_{os.getpid()}_{uuid4().hex[:8]}"
        chosen = settings.kubernetes
        await lead(api, chosen.own_namespace, identity, chosen.lease, work)


def new_runtime(
    settings: Settings,
    api: Api,
    log: Log,
    blobs: BlobStore,
    report: Report,
    make_namespace: MakeNamespace,
    credentials: Credentials,
) -> KubernetesRuntime:
    """A runtime that has not begun."""
    raw_containers = settings.kubernetes.raw_containers.with_store(settings.blobs)
    chosen = settings.kubernetes.model_copy(update={"raw_containers": raw_containers})
    building = Building(
        settings=chosen,
        templates=TaskTemplates(blobs),
        pod_templates=PodTemplates(api, chosen.own_namespace, chosen.pods.default_pod_template_name),
        environment=settings.task_defaults(),
        base_environment=settings.task_base(),
        secret_environment=settings.task_secrets(),
    )
    return KubernetesRuntime(chosen, api, building, Orders(log), History(log), report, make_namespace, credentials)


async def _adopted(runtime: Runtime) -> None:
    while True:
        try:
            await runtime.adopt()
            return
        except LogUnavailable as error:
            _log.warning("attempts.adoption_delayed", error=str(error))
        await asyncio.sleep(_RETRY_SECONDS)
