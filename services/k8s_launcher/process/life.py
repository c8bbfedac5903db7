"""The life of one attempt, from its order to the report of its end.

plan -> wait for room -> start -> run -> end. Every step can be entered again from what is on disk, which is how a
restarted launcher goes on: an attempt that is claimed is followed, one that ended is reported, one that is neither is
started. Whoever wants to change its fate first makes the claim (`attempts.Record`); so it runs at most once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any

import structlog
from flyteidl.core import execution_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobError
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Exit, Usage
from services.k8s_launcher.aborting import Aborted, until_abort
from services.k8s_launcher.process import adoption
from services.k8s_launcher.process.attempts import Aborting, Claim, Ended, Record
from services.k8s_launcher.process.capacity import CPU, MEMORY, Capacity, Grant, Request
from services.k8s_launcher.process.code import CodeCache, with_own_destination
from services.k8s_launcher.process.devices import Device, visible_devices
from services.k8s_launcher.process.plans import Plan, Planner
from services.k8s_launcher.process.secret_requests import Granted, Secrets
from services.k8s_launcher.process.workers import (
    EnvironmentBroken,
    StartFailed,
    Zygote,
    find_program,
    is_entry_point,
    needs_own_process,
    start_program,
)
from services.k8s_launcher.runtime import Origin, Report, Scheduled
from services.k8s_launcher.task_templates import NotLaunchable

_log = structlog.get_logger(__name__)

# Fixed numbers, so that a restarted launcher says the same again instead of something newer.
_VERSIONS: Mapping[int, int] = {
    AttemptObserved.WAITING_FOR_RESOURCES: 100,
    AttemptObserved.INITIALIZING: 1000,
    AttemptObserved.RUNNING: 2000,
    AttemptObserved.EXITED: 3000,
    AttemptObserved.NOT_LAUNCHED: 3000,
    AttemptObserved.KILLED: 3000,
    AttemptObserved.LOST: 3000,
}
_START_TRIES = 3
_PLAN_SECONDS = 60.0
_LONGEST_DELAY_SECONDS = 30.0
_order_ids = count(1)


@dataclass(frozen=True)
class Place:
    """What the attempts of one process runtime share."""

    planner: Planner
    capacity: Capacity
    code: CodeCache
    devices: tuple[Device, ...]
    zygotes: Mapping[Path, Zygote]
    environments: Mapping[str, Path]
    python: Path
    machine: Mapping[str, str]
    secrets: Secrets
    report: Report
    default_cpu_millis: int
    default_memory_bytes: int
    grace_seconds: float
    enforce_memory_limits: bool
    keep_work: bool

    def python_for(self, image: str) -> Path:
        """The Python executable of the environment that stands for an image."""
        for pattern, python in self.environments.items():
            if fnmatchcase(image, pattern):
                return python
        return self.python


class Life:
    """One attempt while this launcher looks after it."""

    def __init__(
        self,
        place: Place,
        record: Record,
        scheduled: Scheduled | None,
        *,
        claim: Claim | None = None,
        aborting: Aborting | None = None,
    ) -> None:
        self.record = record
        self._place = place
        self._scheduled = scheduled
        self._claim = claim
        self._aborting = aborting
        self._abort = asyncio.Event()
        self._grant: Grant | None = None
        self._failure: Exception | None = None
        if aborting is not None:
            self._abort.set()
        self._hold_what_it_has(claim)

    def abort(self, aborting: Aborting) -> None:
        """End it, in whatever state it is. The order is on disk already."""
        if self._aborting is None:
            self._aborting = aborting
        self._abort.set()

    async def run(self) -> None:
        """Live until the end is reported. Cancelled: what runs goes on running, for the next launcher to adopt."""
        delay = 0.5
        try:
            while True:
                try:
                    await self._live()
                    return
                except OSError as error:
                    # A full disk, no more files or processes: nothing that is the attempt's fault, and it may pass.
                    _log.warning("attempt.delayed", error=repr(error), retry_in=delay, **self._names())
                except Exception as error:  # noqa: BLE001
                    # The edge of a task: an attempt that we cannot handle must neither hang nor take the launcher down.
                    _log.exception("attempt.unhandled", **self._names())
                    self._failure = error
                if self._claim is None:
                    self._give_back()
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
        finally:
            self._give_back()

    async def _live(self) -> None:
        if self._failure is not None:
            await self._give_up(self._failure)
            return
        if self._claim is None:
            try:
                self._claim = await self._start()
            except Aborted:
                await self._bury()
            except NotLaunchable as refusal:
                if await asyncio.to_thread(self.record.bury):
                    await self._report_refusal(refusal)
                    return
                self._claim = await asyncio.to_thread(self.record.claim)
            # The claim may be another's: of an order that an earlier launcher gave just before it ended.
            self._hold_what_it_has(self._claim)
        if self._claim is not None and not self._claim.is_tombstone:
            await self._follow(self._claim)
        elif self._aborting is not None:
            await self._report_killed(None)
        else:
            await self._report(AttemptObserved.LOST, reason="the launcher's records do not say what became of it")
            await self._close()

    async def _start(self) -> Claim:
        """Bring the attempt to a claim: its own, or one made before. Raises `Aborted` and `NotLaunchable`."""
        if self._scheduled is None:
            raise Aborted
        plan = await until_abort(self._abort, self._planned(self._scheduled))
        python = self._place.python_for(plan.image)
        machine = _machine_environment(self._place.machine, python, self.record)
        # Those that are missing are missed before it waits, and the others read again when it starts.
        own = {**plan.environment, **(await self._secrets(plan)).variables}
        environment = {**machine, **own}
        warm = plan.raw is None and is_entry_point(plan.argv) and not needs_own_process(own, self._place.machine)
        argv = with_own_destination(plan.argv)
        if not warm:
            argv[0] = _program(plan, environment, self.record.work)
        grant = await until_abort(self._abort, self._room(plan))
        environment |= visible_devices(grant.devices, self._place.devices)
        await asyncio.to_thread(self.record.make_work)
        secrets = await self._secrets(plan)
        environment |= secrets.variables
        await asyncio.to_thread(secrets.write, self._secrets_folder)
        code = await until_abort(self._abort, self._place.code.directory_for(argv)) if warm else None
        if plan.raw is not None:
            argv, environment = plan.raw.around(argv, environment, self._place.planner.blobs.settings)
        order = {
            "directory": str(self.record.directory),
            "work": str(self.record.work),
            "argv": argv,
            "environment": environment,
            "held": _held(grant),
            "memory_limit": plan.memory_limit if self._place.enforce_memory_limits else 0,
            "code": str(code or ""),
        }
        zygote = self._place.zygotes[python] if warm else None
        if zygote is None or not zygote.is_ready:
            what = "starting a process" if zygote is None else "the Python environment is being loaded"
            await self._report(AttemptObserved.INITIALIZING, reason=what)
        return await until_abort(self._abort, self._ordered(zygote, order))

    @property
    def _secrets_folder(self) -> Path:
        return self.record.temporary / "secrets"

    async def _secrets(self, plan: Plan) -> Granted:
        if not plan.secrets:
            return Granted()
        return await asyncio.to_thread(self._place.secrets.granted, plan.secrets, self._secrets_folder)

    async def _ordered(self, zygote: Zygote | None, order: Mapping[str, Any]) -> Claim:
        failure = ""
        for _ in range(_START_TRIES):
            try:
                numbered = {**order, "id": next(_order_ids)}
                await (zygote.start(numbered) if zygote is not None else start_program(numbered))
            except EnvironmentBroken as error:
                raise NotLaunchable(
                    "EnvironmentNotReady", f"the Python environment cannot load flytekit:\n{error}", recoverable=True
                ) from None
            except StartFailed as error:
                failure = str(error)
            # Whatever was answered, the claim says who runs it.
            claim = await asyncio.to_thread(self.record.claim)
            if claim is not None:
                return claim
        raise NotLaunchable("StartFailed", failure, system=True, recoverable=True)

    async def _planned(self, scheduled: Scheduled) -> Plan:
        loop = asyncio.get_running_loop()
        deadline, delay = loop.time() + _PLAN_SECONDS, 0.1
        while True:
            try:
                return await self._place.planner.plan(scheduled.fact, self.record.work)
            except (BlobError, OSError, TimeoutError) as error:
                if loop.time() > deadline:
                    raise NotLaunchable(
                        "ObjectStoreUnavailable",
                        f"the object store did not answer: {error}",
                        system=True,
                        recoverable=True,
                    ) from error
                _log.warning("plan.delayed", error=repr(error), retry_in=delay, **self._names())
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def _room(self, plan: Plan) -> Grant:
        place = self._place
        request = _request(plan, place.default_cpu_millis, place.default_memory_bytes)
        granted: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()

        def take(grant: Grant) -> None:
            # Held from here on, even if whoever waits is being cancelled at this moment.
            self._grant = grant
            if not granted.done():
                granted.set_result(grant)

        answer = place.capacity.ask(request, take)
        if isinstance(answer, Grant):
            self._grant = answer
            return answer
        try:
            await self._report(AttemptObserved.WAITING_FOR_RESOURCES, reason=answer.reason)
            return await granted
        finally:
            place.capacity.leave(answer)

    async def _follow(self, claim: Claim) -> None:
        ended = await asyncio.to_thread(self.record.ended)
        if ended is None:
            began = datetime.fromtimestamp(claim.started_at, UTC)
            running = asyncio.ensure_future(self._report(AttemptObserved.RUNNING, occurred_at=began))
            try:
                try:
                    await until_abort(self._abort, adoption.wait_gone(claim.shepherd, claim.shepherd_start, claim.boot))
                except Aborted:
                    await adoption.stop(claim, self._place.grace_seconds)
                ended = await asyncio.to_thread(self.record.ended)
                if ended is None:
                    await adoption.end_orphan(claim, self.record.work)
                self._give_back()
                await running
            finally:
                running.cancel()
        if self._aborting is not None:
            await self._report_killed(ended)
        elif ended is None:
            await self._report(AttemptObserved.LOST, reason="the process vanished; nobody knows how it ended")
            await self._close()
        else:
            await self._report_exit(ended)

    async def _bury(self) -> None:
        """Nobody shall start it. If somebody was faster, there is a process to stop."""
        if not await asyncio.to_thread(self.record.bury):
            self._claim = await asyncio.to_thread(self.record.claim)

    async def _give_up(self, error: Exception) -> None:
        claim = self._claim or await asyncio.to_thread(self.record.claim)
        if claim is not None and not claim.is_tombstone:
            await adoption.stop(claim, self._place.grace_seconds)
            await self._report(AttemptObserved.LOST, reason=f"the launcher lost sight of it: {error!r}")
            await self._close()
            return
        await asyncio.to_thread(self.record.bury)
        refusal = NotLaunchable("LauncherError", f"the launcher failed: {error!r}", system=True, recoverable=True)
        await self._report_refusal(refusal)

    async def _report_refusal(self, refusal: NotLaunchable) -> None:
        await self._report(
            AttemptObserved.NOT_LAUNCHED,
            reason=refusal.message.partition("\n")[0],
            error=refusal.error(),
            recoverable=refusal.recoverable,
        )
        await self._close()

    async def _report_killed(self, ended: Ended | None) -> None:
        assert self._aborting is not None
        await self._report(
            AttemptObserved.KILLED,
            reason=self._aborting.reason,
            exit=_exit(ended) if ended is not None else None,
            usage=_usage(ended) if ended is not None else None,
        )
        await self._close()

    async def _report_exit(self, ended: Ended) -> None:
        await self._report(
            AttemptObserved.EXITED,
            reason=_exit_reason(ended),
            occurred_at=datetime.fromtimestamp(ended.ended_at, UTC),
            exit=_exit(ended),
            usage=_usage(ended),
        )
        await self._close()

    async def _report(
        self,
        stage: AttemptObserved.Stage,
        *,
        reason: str = "",
        occurred_at: datetime | None = None,
        exit: Exit | None = None,  # noqa: A002 (the field's name)
        usage: Usage | None = None,
        error: execution_pb2.ExecutionError | None = None,
        recoverable: bool = False,
    ) -> None:
        key = self.record.key
        moment = Timestamp()
        moment.FromDatetime(occurred_at or datetime.now(UTC))
        observed = AttemptObserved(
            node_id=key.node_id,
            attempt=key.attempt,
            stage=stage,
            version=_VERSIONS[stage],
            reason=reason,
            occurred_at=moment,
            exit=exit,
            usage=usage,
            error=error,
            recoverable=recoverable,
        )
        observed.execution_id.project = key.project
        observed.execution_id.domain = key.domain
        observed.execution_id.name = key.execution
        if self._claim is not None and not self._claim.is_tombstone:
            for path in (self.record.stdout, self.record.stderr):
                observed.logs.add(uri=path.as_uri(), name=path.name)
        await self._place.report(observed, self.origin)

    @property
    def origin(self) -> Origin:
        """The event that ordered what happens now: the start, or the end."""
        if self._aborting is not None:
            return self._aborting.origin
        assert self._scheduled is not None
        return self._scheduled.origin

    async def _close(self) -> None:
        self._give_back()
        await asyncio.to_thread(self.record.close, keep_work=self._place.keep_work)

    def _hold_what_it_has(self, claim: Claim | None) -> None:
        """Count what the claim says the attempt occupies, in place of what was meant for it."""
        if claim is None or claim.is_tombstone or (self._grant is not None and _held(self._grant) == claim.held):
            return
        self._give_back()
        self._grant = _granted(claim.held)
        self._place.capacity.hold(self._grant)

    def _give_back(self) -> None:
        grant, self._grant = self._grant, None
        if grant is not None:
            self._place.capacity.release(grant)

    def _names(self) -> dict[str, Any]:
        key = self.record.key
        return {"execution": f"{key.project}/{key.domain}/{key.execution}", "node": key.node_id, "attempt": key.attempt}


def _machine_environment(machine: Mapping[str, str], python: Path, record: Record) -> dict[str, str]:
    """The machine's variables, as if the task's Python environment were activated."""
    binaries = python.parent
    environment = {**machine, "PATH": f"{binaries}{os.pathsep}{machine.get('PATH', os.defpath)}"}
    environment["TMPDIR"] = str(record.temporary)
    environment.pop("VIRTUAL_ENV", None)
    if (binaries.parent / "pyvenv.cfg").exists():
        environment["VIRTUAL_ENV"] = str(binaries.parent)
    return environment


def _program(plan: Plan, environment: Mapping[str, str], work: Path) -> str:
    found = find_program(plan.argv[0], path=environment["PATH"], directory=work)
    if found is None:
        raise NotLaunchable(
            "CommandNotFound",
            f"the command {plan.argv[0]!r} of image {plan.image!r} is not on this machine: the process runtime runs "
            "commands of this machine, no images. Install it, or map the image to a Python environment that has it",
        )
    return found


def _request(plan: Plan, default_cpu_millis: int, default_memory_bytes: int) -> Request:
    requests = dict(plan.requests)
    cpu, memory = requests.pop(CPU, None), requests.pop(MEMORY, None)
    return Request(
        cpu_millis=int(cpu * 1000) if cpu is not None else default_cpu_millis,
        memory_bytes=int(memory) if memory is not None else default_memory_bytes,
        devices={name: int(value) for name, value in requests.items()},
        accelerator=plan.accelerator,
    )


def _held(grant: Grant) -> dict[str, Any]:
    devices = [device.model_dump() for device in grant.devices]
    return {"cpu_millis": grant.cpu_millis, "memory_bytes": grant.memory_bytes, "devices": devices}


def _granted(held: Mapping[str, Any]) -> Grant:
    devices = tuple(Device.model_validate(device) for device in held["devices"])
    return Grant(held["cpu_millis"], held["memory_bytes"], devices)


def _exit(ended: Ended) -> Exit:
    return Exit(code=ended.code, signal=ended.signal, out_of_memory=ended.out_of_memory)


def _usage(ended: Ended) -> Usage:
    usage = Usage(peak_memory_bytes=ended.peak_memory_bytes)
    usage.cpu_time.FromTimedelta(timedelta(seconds=ended.cpu_seconds))
    usage.wall_time.FromTimedelta(timedelta(seconds=ended.wall_seconds))
    return usage


def _exit_reason(ended: Ended) -> str:
    if ended.out_of_memory:
        return f"killed for want of memory, after using {ended.peak_memory_bytes >> 20} MiB"
    if ended.signal:
        return f"ended by signal {ended.signal}"
    return f"exited with code {ended.code}"
