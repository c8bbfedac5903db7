"""A real Kubernetes control plane for the tests of this folder: one for all, a namespace of its own for each that asks.

The first run on a machine builds it, which takes minutes. Where Go is missing, these tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from flightlog_blobs import BlobSettings
from flightlog_cli.stack_process import StackProcess
from flightlog_cluster.build import GoMissing, is_built, program
from flightlog_cluster.cluster import Cluster, run_cluster
from flightlog_cluster.crds import DefinitionsMissing, definitions
from flightlog_log import LogSettings
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import NAMESPACE
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.accounts import has_account
from tests.kubernetes.asking import until
from tests.kubernetes.defining import define
from tests.kubernetes.launching import Launching, launching_on
from tests.kubernetes.whole_runs import CONNECTED, PENDING_TIMEOUT_DAYS, Stack

_BUILD_SECONDS = 180.0
"""What building the control plane takes at the least."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """etcd, kube-apiserver, controllers, scheduler and kwok. A test that kills a part restarts it."""
    deadline = os.environ.get("FLIGHTLOG_TEST_DEADLINE")
    left = float(deadline) - time.time() if deadline else None
    try:
        if left is not None and left < _BUILD_SECONDS and not is_built():
            raise TimeoutError
        async with asyncio.timeout(left):
            await program()
    except GoMissing as missing:
        pytest.skip(str(missing))
    except TimeoutError:
        pytest.skip("the control plane is not built yet, and no time is left for it: `make test-k8s` builds it")
    async with run_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def kubernetes_settings(cluster: Cluster) -> KubernetesSettings:
    """Settings with which the launcher is the cluster's administrator."""
    return KubernetesSettings.model_validate({"kubeconfig": cluster.kubeconfig})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(kubernetes_settings: KubernetesSettings) -> AsyncIterator[Api]:
    """The cluster's API as the launcher speaks to it."""
    opened = await Api.open(kubernetes_settings)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operators(api: Api, kubernetes_settings: KubernetesSettings) -> AsyncIterator[Api]:
    """The cluster's API where the objects of all operators are known."""
    try:
        wanted = await definitions()
    except DefinitionsMissing as missing:
        pytest.skip(str(missing))
    opened = await define(api, kubernetes_settings, wanted)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(api: Api) -> str:
    """An empty namespace. It stays: to remove one costs more than most tests do, and the cluster ends with them."""
    name = f"test-{uuid4().hex[:12]}"
    await api.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await until(lambda: has_account(api, name))
    return name


@pytest_asyncio.fixture(loop_scope="session")
async def launching(
    api: Api, kubernetes_settings: KubernetesSettings, log_settings: LogSettings, blob_settings: BlobSettings
) -> AsyncIterator[Launching]:
    """A project of the test's own, with orders on the log and a namespace for its objects."""
    async with launching_on(api, kubernetes_settings, log_settings, blob_settings) as found:
        yield found


@pytest.fixture(scope="session")
def connector_port() -> int:
    """Where the stack has a connector for tasks of type `CONNECTED`: nobody listens unless a test does."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(
    cluster: Cluster, api: Api, connector_port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """A whole stack whose launcher makes pods that no scheduler takes: their status is the test's."""
    suffix = uuid4().hex[:8]
    prefix = "FLIGHTLOG_KUBERNETES__"
    environment = {
        "FLIGHTLOG_LAUNCHER__RUNTIME": "kubernetes",
        "FLIGHTLOG_LAUNCHER__CONNECTORS__DEFAULT__ENDPOINT": f"127.0.0.1:{connector_port}",
        "FLIGHTLOG_LAUNCHER__CONNECTORS__SUPPORTED_TASK_TYPES": json.dumps([CONNECTED]),
        f"{prefix}KUBECONFIG": str(cluster.kubeconfig),
        f"{prefix}INSTANCE": f"runs-{suffix}",
        f"{prefix}OWN_NAMESPACE": f"own-{suffix}",
        f"{prefix}NAMESPACE_TEMPLATE": f"{{project}}-{{domain}}-{suffix}",
        f"{prefix}PODS__SCHEDULER_NAME": "nobody",
        f"{prefix}LOGS__KUBERNETES_ENABLED": "true",
        f"{prefix}STATUS__POD_PENDING_TIMEOUT": f"P{PENDING_TIMEOUT_DAYS}D",
        f"{prefix}LAUNCHING__BACKOFF_FIRST_SECONDS": "0.1",
        f"{prefix}LAUNCHING__BACKOFF_LONGEST_SECONDS": "0.2",
    }
    own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"own-{suffix}"}}
    await api.create(NAMESPACE, None, own)
    with StackProcess(tmp_path_factory.mktemp("kubernetes-stack"), environment=environment) as process:
        running = Stack(process, api, f"{{project}}-{{domain}}-{suffix}")
        yield running
        await running.close()
