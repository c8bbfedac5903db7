"""Two launchers as processes of their own: one leads, and when it is killed the other goes on where it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from flightlog_blobs import BlobSettings
from flightlog_cli.embedded.child import Child, Program
from flightlog_cli.embedded.forking import Forker
from flightlog_cli.embedded.servers import Servers, run_servers
from flightlog_cluster.cluster import Cluster
from flightlog_log import LogSettings
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import LEASE, POD
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching, launching_on


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """A log whose orders are those of these tests alone: the launchers take all that is there."""
    async with run_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def alone(
    own_servers: Servers, api: Api, kubernetes_settings: KubernetesSettings, tmp_path: Path
) -> AsyncIterator[Launching]:
    log = LogSettings.model_validate(
        {"nats_url": own_servers.nats_url, "user": own_servers.nats_user, "password": own_servers.nats_password}
    )
    blobs = BlobSettings.model_validate(
        {
            "driver": "directory",
            "bucket": own_servers.bucket,
            "endpoint": own_servers.s3_endpoint,
            "access_key": own_servers.s3_access_key,
            "secret_key": own_servers.s3_secret_key,
            "directory": own_servers.object_directory,
        }
    )
    async with launching_on(api, kubernetes_settings, log, blobs) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def forker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forker]:
    made = Forker(tmp_path_factory.mktemp("forker") / "forker.log")
    yield made
    await made.close()


def process(name: str, servers: Servers, cluster: Cluster, launching: Launching, folder: Path, forker: Forker) -> Child:
    """A launcher. It serves as soon as it stands by."""
    ready_file = folder / f"{name}.ready"
    kubernetes = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "INSTANCE": launching.project,
        "OWN_NAMESPACE": launching.namespace,
        "PODS__SCHEDULER_NAME": "nobody",
        "CLUSTER_RESOURCES__ENABLED": "false",
        "LEASE__DURATION_SECONDS": "3",
        "LEASE__RENEW_WITHIN_SECONDS": "2",
        "LEASE__RETRY_SECONDS": "0.2",
    }
    environment = {
        "FLIGHTLOG_LOG__NATS_URL": servers.nats_url,
        "FLIGHTLOG_LOG__USER": servers.nats_user,
        "FLIGHTLOG_LOG__PASSWORD": servers.nats_password,
        "FLIGHTLOG_BLOBS__DRIVER": "directory",
        "FLIGHTLOG_BLOBS__BUCKET": servers.bucket,
        "FLIGHTLOG_BLOBS__ENDPOINT": servers.s3_endpoint,
        "FLIGHTLOG_BLOBS__ACCESS_KEY": servers.s3_access_key,
        "FLIGHTLOG_BLOBS__SECRET_KEY": servers.s3_secret_key,
        "FLIGHTLOG_BLOBS__DIRECTORY": str(servers.object_directory),
        "FLIGHTLOG_LAUNCHER__RUNTIME": "kubernetes",
        "FLIGHTLOG_READY_FILE": str(ready_file),
        **{f"FLIGHTLOG_KUBERNETES__{key}": value for key, value in kubernetes.items()},
    }

    async def ready(pid: int) -> bool:
        try:
            return json.loads(ready_file.read_text()).get("pid") == pid
        except (OSError, ValueError):
            return False

    return Child(
        Program(
            name=name,
            command="services.k8s_launcher",
            environment=environment,
            log=folder / f"{name}.log",
            ready=ready,
            start_seconds=60.0,
        ),
        forker,
    )


async def test_the_other_goes_on_where_a_killed_leader_was(
    alone: Launching, own_servers: Servers, cluster: Cluster, tmp_path: Path, forker: Forker
) -> None:
    launchers = [process(f"launcher{number}", own_servers, cluster, alone, tmp_path, forker) for number in range(2)]

    async def leader(*, not_: int = 0) -> int:
        """Process id of who holds the lease; 0: nobody, or the one that is not asked for."""
        lease = await alone.thing(LEASE, "flightlog-launcher")
        holder = (lease or {}).get("spec", {}).get("holderIdentity") or ""
        pid = int(holder.rsplit("_", 2)[1]) if holder else 0
        return 0 if pid == not_ else pid

    await asyncio.gather(*(launcher.start() for launcher in launchers))
    try:
        first = await until(leader)
        facts = [await alone.schedule() for _ in range(4)]
        for fact in facts:
            await alone.runs(fact)
        pods = await alone.pods()
        (killed,) = [launcher for launcher in launchers if launcher.pid == first]
        await killed.kill()
        # What happens while nobody leads.
        for fact in facts[:2]:
            await alone.succeeds(fact)
        await alone.abort(facts[3])
        meanwhile = await alone.schedule()
        assert await until(lambda: leader(not_=first)) in {launcher.pid for launcher in launchers} - {first}
        for fact in facts[:2]:
            assert (await alone.end(fact)).stage == AttemptObserved.EXITED
        assert (await alone.end(facts[3])).stage == AttemptObserved.KILLED
        await alone.runs(meanwhile)
        await alone.succeeds(facts[2])
        assert (await alone.end(facts[2])).stage == AttemptObserved.EXITED
        assert set(await alone.pods()) >= {*pods, meanwhile.generated_name} - {facts[3].generated_name}
        assert len(await alone.pods()) <= len(pods) + 1
        for fact in facts:
            versions = [item.version for item in await alone.observed(fact)]
            assert versions == sorted(set(versions))
    finally:
        for launcher in launchers:
            await launcher.stop()


async def test_what_happens_while_the_log_is_away_is_said_when_it_is_back(
    alone: Launching, own_servers: Servers
) -> None:
    async with alone.launcher():
        ends, goes = await alone.schedule(), await alone.schedule()
        for fact in (ends, goes):
            await alone.runs(fact)
        await own_servers.kill("nats")
        await alone.succeeds(ends)
        await alone.api.delete(POD, alone.namespace, goes.generated_name, grace_seconds=0)
        await until(lambda: is_gone(alone, goes.generated_name))
        await own_servers.restart("nats")
        assert (await alone.end(ends)).stage == AttemptObserved.EXITED
        assert (await alone.end(goes)).stage == AttemptObserved.FAILED
        later = await alone.schedule()
        await alone.runs(later)
        orders = {later.generated_name}
        await until(lambda: kept_are(alone, orders))
    for fact in (ends, goes):
        versions = [item.version for item in await alone.observed(fact)]
        assert versions == sorted(set(versions))


async def is_gone(launching: Launching, name: str) -> bool:
    return await launching.thing(POD, name) is None


async def kept_are(launching: Launching, names: set[str]) -> bool:
    return {order.scheduled.fact.generated_name for order in await launching.kept() if order.scheduled} == names
