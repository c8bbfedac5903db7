"""One launcher leads: with a real Lease, and holders that are stopped, killed, paused or cut off."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.lease import Leadership, lead
from services.k8s_launcher.kubernetes.lease_settings import LeaseSettings
from services.k8s_launcher.kubernetes.objects import LEASE, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import going, until
from tests.kubernetes.gate import gate_to

QUICK = LeaseSettings(name="lease", duration_seconds=3, renew_within_seconds=1.5, retry_seconds=0.1)
PATIENT = LeaseSettings(name="lease", duration_seconds=600, renew_within_seconds=300, retry_seconds=0.1)
_ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """Work that is done under the lease, and what happened to it."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told
        self.leadership: Leadership | None = None
        self.end = asyncio.Event()

    async def work(self, leadership: Leadership) -> None:
        assert leadership.holds
        self.leadership = leadership
        self.told.append(f"{self.name} begins")
        try:
            await self.end.wait()
        finally:
            self.told.append(f"{self.name} ends")

    def lead(self, api: Api, namespace: str, settings: LeaseSettings) -> asyncio.Task[None]:
        return asyncio.ensure_future(lead(api, namespace, self.name, settings, self.work))


class Holder:
    """The same in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        return await self._process.wait()


@asynccontextmanager
async def holder(cluster: Cluster, namespace: str, settings: LeaseSettings) -> AsyncIterator[Holder]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "tests/kubernetes/lease_holder.py"),
        *(str(cluster.kubeconfig), namespace, "a-process", settings.model_dump_json()),
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(_ROOT / part) for part in ("", "libs", "tools"))},
    )
    try:
        yield Holder(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def spec(api: Api, namespace: str) -> Object:
    return (await api.get(LEASE, namespace, "lease"))["spec"]


async def holds(api: Api, namespace: str, who: str) -> bool:
    try:
        return (await spec(api, namespace))["holderIdentity"] == who
    except ApiRefused as refusal:
        if not refusal.not_found:
            raise
        return False


async def test_one_works_and_the_next_when_it_has_stopped(api: Api, namespace: str) -> None:
    told: list[str] = []
    first, second = Worker("first", told), Worker("second", told)
    leading = first.lead(api, namespace, PATIENT)
    await until(lambda: told == ["first begins"])
    standing_by = second.lead(api, namespace, PATIENT)
    # Renewed at least twice while another wants it.
    renewed = (await spec(api, namespace))["renewTime"]
    for _ in range(2):
        await until(lambda before=renewed: is_renewed(api, namespace, before))
        renewed = (await spec(api, namespace))["renewTime"]
    assert await holds(api, namespace, "first")
    assert (await spec(api, namespace))["leaseTransitions"] == 0
    await ended(leading)
    # Long before the lease would have ended: it was given back.
    await until(lambda: told == ["first begins", "first ends", "second begins"])
    assert (await spec(api, namespace))["leaseTransitions"] == 1
    assert (await spec(api, namespace))["leaseDurationSeconds"] == 600
    await ended(standing_by)
    assert (await spec(api, namespace))["holderIdentity"] == ""


async def is_renewed(api: Api, namespace: str, before: str) -> bool:
    return (await spec(api, namespace))["renewTime"] != before


async def test_work_that_ends_gives_the_lease_back(api: Api, namespace: str) -> None:
    worker = Worker("w", [])
    leading = worker.lead(api, namespace, PATIENT)
    worker.end.set()
    await leading
    assert (await spec(api, namespace))["holderIdentity"] == ""


async def test_work_that_fails_gives_the_lease_back(api: Api, namespace: str) -> None:
    async def fail(_: Leadership) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await lead(api, namespace, "w", PATIENT, fail)
    assert (await spec(api, namespace))["holderIdentity"] == ""


async def test_many_candidates_at_once(api: Api, namespace: str) -> None:
    told: list[str] = []
    workers = [Worker(f"w{number}", told) for number in range(6)]
    tasks = [worker.lead(api, namespace, PATIENT) for worker in workers]
    for number in range(6):
        # Never two at a time.
        await until(lambda number=number: len(told) == 2 * number + 1)
        who = told[-1].removesuffix(" begins")
        assert await holds(api, namespace, who)
        await ended(tasks[int(who[1:])])
        assert told[2 * number + 1] == f"{who} ends"
    assert len(told) == 12


async def test_the_lease_of_a_killed_holder_is_taken(cluster: Cluster, api: Api, namespace: str) -> None:
    async with holder(cluster, namespace, QUICK) as other:
        assert await other.says() == "leads"
        told: list[str] = []
        async with going(lead(api, namespace, "next", QUICK, Worker("next", told).work)):
            other.signal(signal.SIGKILL)
            await other.ended()
            await until(lambda: told)
            assert await holds(api, namespace, "next")


async def test_a_holder_that_is_stopped_gives_it_back(cluster: Cluster, api: Api, namespace: str) -> None:
    async with holder(cluster, namespace, PATIENT) as other:
        assert await other.says() == "leads"
        other.signal(signal.SIGTERM)
        assert await other.says() == "stopped, holds: True"
        assert await other.says() == "released"
        assert await other.ended() == 0
        worker = Worker("next", [])
        worker.end.set()
        await worker.lead(api, namespace, PATIENT)


async def test_a_holder_that_was_paused_stops_when_it_goes_on(cluster: Cluster, api: Api, namespace: str) -> None:
    async with holder(cluster, namespace, QUICK) as other:
        assert await other.says() == "leads"
        other.signal(signal.SIGSTOP)
        told: list[str] = []
        leading = Worker("next", told).lead(api, namespace, QUICK)
        await until(lambda: told == ["next begins"])
        other.signal(signal.SIGCONT)
        assert await other.says() == "stopped, holds: False"
        # It stands by again, and takes its turn.
        await ended(leading)
        assert told == ["next begins", "next ends"]
        assert await other.says() == "leads"


async def test_a_holder_without_the_api_stops_before_another_begins(
    cluster: Cluster, api: Api, namespace: str, tmp_path: Path
) -> None:
    told: list[str] = []
    async with gate_to(cluster, tmp_path) as gate:
        cut = await Api.open(KubernetesSettings.model_validate({"kubeconfig": gate.kubeconfig}))
        first = Worker("first", told)
        async with going(lead(cut, namespace, "first", QUICK, first.work)):
            await until(lambda: told == ["first begins"])
            async with going(lead(api, namespace, "second", QUICK, Worker("second", told).work)):
                await gate.close()
                await until(lambda: "second begins" in told)
                assert told == ["first begins", "first ends", "second begins"]
                assert first.leadership is not None
                assert not first.leadership.holds
                await gate.open()
            await until(lambda: told[-1] == "first begins")
        await cut.close()


async def test_an_api_that_is_away_for_a_moment_costs_nothing(
    cluster: Cluster, api: Api, namespace: str, tmp_path: Path
) -> None:
    told: list[str] = []
    async with gate_to(cluster, tmp_path) as gate:
        cut = await Api.open(KubernetesSettings.model_validate({"kubeconfig": gate.kubeconfig}))
        async with going(lead(cut, namespace, "first", PATIENT, Worker("first", told).work)):
            await until(lambda: told)
            await gate.close()
            renewed = (await spec(api, namespace))["renewTime"]
            await gate.open()
            await until(lambda: is_renewed(api, namespace, renewed))
            assert told == ["first begins"]
        await cut.close()


async def test_a_lease_that_is_taken_away_is_lost(api: Api, namespace: str) -> None:
    """By force: an operator writes another holder, or deletes the object."""
    told: list[str] = []
    async with going(lead(api, namespace, "w", QUICK, Worker("w", told).work)):
        await until(lambda: told == ["w begins"])
        await api.patch(LEASE, namespace, "lease", {"spec": {"holderIdentity": "an operator"}})
        await until(lambda: told == ["w begins", "w ends"])
        assert await holds(api, namespace, "an operator")
        await until(lambda: told[2:] == ["w begins"])
        await api.delete(LEASE, namespace, "lease")
        await until(lambda: told[3:] == ["w ends", "w begins"])


async def test_clocks_are_not_compared(api: Api, namespace: str) -> None:
    """A holder whose clock is years behind keeps its lease while it renews it; one years ahead loses it when not."""
    behind, ahead = "2001-01-01T00:00:00.{:06}Z", "2101-01-01T00:00:00.{:06}Z"
    holding: Object = {"holderIdentity": "other", "leaseDurationSeconds": 2, "leaseTransitions": 4}

    async def write(renewed: str) -> None:
        await api.patch(LEASE, namespace, "lease", {"spec": {**holding, "renewTime": renewed}})

    made = {"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": {"name": "lease"}, "spec": holding}
    await api.create(LEASE, namespace, made)
    told: list[str] = []
    looks = asks()
    async with going(lead(api, namespace, "w", QUICK, Worker("w", told).work)):
        # Watched for longer than the lease would last, by how often it was looked at.
        for number in range(12):
            await write(behind.format(number))
            seen = looks()
            await until(lambda seen=seen: looks() >= seen + 2)
        assert told == []
        await write(ahead.format(0))
        await until(lambda: told == ["w begins"])
        assert (await spec(api, namespace))["leaseTransitions"] == 5


def asks() -> Callable[[], float]:
    labels = {"verb": "get", "kind": "Lease", "code": "200"}
    return lambda: REGISTRY.get_sample_value("flightlog_kubernetes_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    "wrong", [{"duration_seconds": 10}, {"retry_seconds": 10.0}, {"renew_within_seconds": 1.0}, {"duration_seconds": 0}]
)
def test_durations_that_do_not_fit(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LeaseSettings.model_validate(wrong)
