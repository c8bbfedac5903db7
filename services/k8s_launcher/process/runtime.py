"""The process runtime: attempts as processes of this machine.

Running tasks do not depend on the launcher. When it stops, cleanly or not, they go on; the next one, started on the
same folder, adopts them, starts what was ordered but not started, and reports what ended in between. `flightlog up`
therefore may be stopped and started again while a training runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil
import structlog
from prometheus_client import Gauge

from flightlog_service.machine import memory_bytes, processors
from flightlog_telemetry import span_from
from flightlog_types import quantities
from services.k8s_launcher.environment import inherited_environment
from services.k8s_launcher.process.attempts import Aborting, Claim, Record, open_records
from services.k8s_launcher.process.capacity import Capacity
from services.k8s_launcher.process.code import CodeCache
from services.k8s_launcher.process.devices import discover
from services.k8s_launcher.process.life import Life, Place
from services.k8s_launcher.process.plans import Planner
from services.k8s_launcher.process.retention import keep_tidy
from services.k8s_launcher.process.secret_requests import Secrets
from services.k8s_launcher.process.workers import Zygote
from services.k8s_launcher.runtime import AttemptKey, Origin, Report, Scheduled
from services.k8s_launcher.settings import ProcessSettings, SecretSettings

_log = structlog.get_logger(__name__)
_attempts = Gauge("flightlog_launcher_attempts", "Attempts this launcher looks after, waiting ones included")


class ProcessRuntime:
    """Runs attempts as local processes; see the module's text. Make one with `open`."""

    def __init__(self, settings: ProcessSettings, place: Place, zygotes: Mapping[Path, Zygote]) -> None:
        self._settings = settings
        self._place = place
        self.zygotes = zygotes
        self._since = settings.directory / "since"
        self._lives: dict[AttemptKey, Life] = {}
        self._arrivals: asyncio.Queue[Life] = asyncio.Queue()

    @classmethod
    async def open(
        cls,
        settings: ProcessSettings,
        planner: Planner,
        report: Report,
        *,
        task_defaults: Mapping[str, str],
        secrets: SecretSettings,
    ) -> ProcessRuntime:
        """A runtime on the folder of `settings`. Tasks are started once `run` is awaited."""
        settings = settings.model_copy(update={"directory": settings.directory.absolute()})
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        devices = tuple(await discover() if settings.devices is None else settings.devices)
        machine = inherited_environment(os.environ, hidden=secrets.env_prefix)
        zygotes = _zygotes(settings, {**machine, **task_defaults})
        capacity = Capacity(cpu_millis=_cpu_millis(settings), memory_bytes=_memory_bytes(settings), devices=devices)
        place = Place(
            planner=planner,
            capacity=capacity,
            code=CodeCache(settings.directory / "code", planner.blobs),
            devices=devices,
            zygotes=zygotes,
            environments=settings.environments,
            python=settings.python,
            machine=machine,
            secrets=Secrets(secrets, os.environ),
            report=report,
            default_cpu_millis=int(quantities.parse(settings.default_cpu) * 1000),
            default_memory_bytes=int(quantities.parse(settings.default_memory)),
            grace_seconds=settings.grace_seconds,
            enforce_memory_limits=settings.enforce_memory_limits,
            keep_work=settings.keep_work,
        )
        return cls(settings, place, zygotes)

    @property
    def is_new(self) -> bool:
        """Whether the folder has not been begun: what it does not know may be running or over all the same."""
        return not self._since.exists()

    def begin(self) -> None:
        """From now on the folder knows of all attempts."""
        self._since.write_text(datetime.now(UTC).isoformat())

    def is_looked_after(self, key: AttemptKey) -> bool:
        """Whether an attempt is not over, as far as this launcher knows."""
        return key in self._lives

    async def launch(self, scheduled: Scheduled, *, ran: bool = False) -> None:
        """Keep the order and start the attempt in the background; nothing when it is known already."""
        record = Record(self._settings.directory, scheduled.key)
        keep = record.order_lost if ran else record.order
        if scheduled.key not in self._lives and await asyncio.to_thread(keep, scheduled):
            self._begin(Life(self._place, record, scheduled, claim=record.claim()))

    async def abort(self, key: AttemptKey, reason: str, origin: Origin) -> None:
        """Keep the order and stop the attempt in the background; one never seen is never going to start."""
        record = Record(self._settings.directory, key)
        if not await asyncio.to_thread(record.order_abort, reason, origin):
            return
        life = self._lives.get(key)
        if life is not None:
            life.abort(Aborting(reason, origin))
        else:
            self._begin(Life(self._place, record, None, aborting=Aborting(reason, origin)))

    async def ended(self, project: str, domain: str, execution: str, at: datetime) -> None:
        """Nothing: records and output of attempts are kept by their own age."""

    async def adopt(self) -> None:
        """Take over what the folder says is not over. Running attempts come first: they occupy the machine already."""
        found = await asyncio.to_thread(self._find)
        found.sort(key=lambda item: item[2] is None)
        for record, scheduled, claim, aborting in found:
            self._begin(Life(self._place, record, scheduled, claim=claim, aborting=aborting))
        running = sum(claim is not None for _, _, claim, _ in found)
        _log.info("attempts.adopted", claimed=running, waiting=len(found) - running)

    async def run(self) -> None:
        """Work until cancelled. Running tasks are left running."""
        async with asyncio.TaskGroup() as tasks:
            for zygote in self.zygotes.values():
                tasks.create_task(zygote.run())
            tasks.create_task(keep_tidy(self._settings))
            while True:
                life = await self._arrivals.get()
                tasks.create_task(self._look_after(life))

    def _begin(self, life: Life) -> None:
        self._lives[life.record.key] = life
        _attempts.set(len(self._lives))
        self._arrivals.put_nowait(life)

    async def _look_after(self, life: Life) -> None:
        key = life.record.key
        try:
            with span_from(
                life.origin.traceparent,
                "attempt",
                execution=f"{key.project}/{key.domain}/{key.execution}",
                node=key.node_id,
                attempt=key.attempt,
            ):
                await life.run()
        finally:
            self._lives.pop(key, None)
            _attempts.set(len(self._lives))

    def _find(self) -> list[tuple[Record, Scheduled | None, Claim | None, Aborting | None]]:
        return [
            (record, record.scheduled(), record.claim(), record.aborting())
            for record in open_records(self._settings.directory)
        ]


def _zygotes(settings: ProcessSettings, environment: Mapping[str, str]) -> dict[Path, Zygote]:
    folder = settings.directory / "workers"
    # What modules leave behind when they are imported goes with the next start.
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True, mode=0o700)
    environment = {**environment, "TMPDIR": str(temporary)}
    zygotes: dict[Path, Zygote] = {}
    for number, python in enumerate(dict.fromkeys((settings.python, *settings.environments.values()))):
        log = folder / f"{number}.log"
        zygotes[python] = Zygote(python, modules=settings.preload, environment=environment, log=log)
    return zygotes


def _cpu_millis(settings: ProcessSettings) -> int:
    if settings.cpu is not None:
        return int(quantities.parse(settings.cpu) * 1000)
    return int(processors() * 1000)


def _memory_bytes(settings: ProcessSettings) -> int:
    if settings.memory is not None:
        return int(quantities.parse(settings.memory))
    physical = psutil.virtual_memory().total
    return int(min(physical, memory_bytes() or physical) * 9 / 10)
