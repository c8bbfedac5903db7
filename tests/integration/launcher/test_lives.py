"""What happens to attempts: ends of all kinds, aborts, restarts of the launcher, waiting for room."""

# Tests wait for what a process writes, on a local disk.
# ruff: noqa: ASYNC110, ASYNC240

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from uuid import uuid4

import pytest
import structlog

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.process import workers
from services.k8s_launcher.process.attempts import Record
from services.k8s_launcher.process.devices import Device
from services.k8s_launcher.process.life import Life
from services.k8s_launcher.process.plans import Planner
from services.k8s_launcher.process.runtime import ProcessRuntime
from services.k8s_launcher.runtime import FINAL, AttemptKey, Origin, Scheduled
from services.k8s_launcher.settings import ProcessSettings, SecretSettings
from services.k8s_launcher.shell import Launcher, Observer

WAITING = AttemptObserved.WAITING_FOR_RESOURCES


def _log(observed: AttemptObserved, name: str) -> str:
    (uri,) = (log.uri for log in observed.logs if log.name == name)
    return Path(urlparse(uri).path).read_text()


async def _pid(path: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return int(path.read_text())
        await asyncio.sleep(0.01)
    pytest.fail(f"no task wrote {path}")


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_plain_command_runs_in_a_directory_and_process_group_of_its_own(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    command = "pwd; ps -o pgid= -p $$; echo $FLYTE_INTERNAL_EXECUTION_ID; echo trouble >&2; exit 3"
    async with start_launcher():
        first = await executions.schedule(executions.program("sh", "-c", command))
        second = await executions.schedule(executions.program("sh", "-c", command))
        ends = [await executions.end(fact) for fact in (first, second)]

    assert [(end.stage, end.exit.code, end.exit.signal) for end in ends] == [(AttemptObserved.EXITED, 3, 0)] * 2
    (directory, group, name), (other_directory, other_group, _) = (_log(end, "stdout").split() for end in ends)
    assert directory.startswith(str(tmp_path))
    assert directory != other_directory
    assert len({group, other_group, str(os.getpgid(0))}) == 3
    assert name == first.execution_id.name
    assert _log(ends[0], "stderr") == "trouble\n"
    assert not Path(directory).exists(), "the working directory is removed at the end"


async def test_command_that_is_not_on_this_machine_is_not_launched(start_launcher: Any, executions: Any) -> None:
    async with start_launcher():
        fact = await executions.schedule(executions.program("no-such-program", image="ghcr.io/acme/model:7"))
        end = await executions.end(fact)

    assert (end.stage, end.recoverable, end.error.code) == (AttemptObserved.NOT_LAUNCHED, False, "CommandNotFound")
    assert "'no-such-program' of image 'ghcr.io/acme/model:7' is not on this machine" in end.error.message
    assert end.error.kind == end.error.USER


async def test_signal_that_ends_a_task_is_reported(start_launcher: Any, executions: Any) -> None:
    async with start_launcher():
        end = await executions.end(await executions.schedule(executions.program("sh", "-c", "kill -SEGV $$")))
    assert (end.stage, end.exit.code, end.exit.signal) == (AttemptObserved.EXITED, 139, signal.SIGSEGV)


async def test_abort_ends_the_whole_process_group(start_launcher: Any, executions: Any, tmp_path: Path) -> None:
    child = tmp_path / "child"
    async with start_launcher(grace_seconds=0.3):
        # Neither the shell nor its child heeds SIGTERM.
        command = f"trap '' TERM; (sh -c 'trap \"\" TERM; echo $$ > {child}; sleep 600'); sleep 600"
        fact = await executions.schedule(executions.program("sh", "-c", command))
        pid = await _pid(child)
        await executions.abort(fact, "no longer wanted")
        end = await executions.end(fact)

    assert (end.stage, end.reason) == (AttemptObserved.KILLED, "no longer wanted")
    assert end.exit.signal == signal.SIGKILL
    assert _is_gone(pid)


async def test_processes_left_behind_end_with_their_task(start_launcher: Any, executions: Any, tmp_path: Path) -> None:
    child = tmp_path / "child"
    async with start_launcher():
        command = f"setsid sh -c 'echo $$ > {child}; sleep 600' & while [ ! -s {child} ]; do :; done"
        end = await executions.end(await executions.schedule(executions.program("sh", "-c", command)))
    assert end.exit.code == 0
    assert _is_gone(int(child.read_text()))


async def test_abort_of_an_attempt_never_seen_keeps_it_from_starting(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    fact = await executions.attempt(executions.program("touch", str(mark)))
    async with start_launcher():
        await executions.abort(fact)
        end = await executions.end(fact)
        await executions.append(fact.execution_id.name, fact)
        # What is ordered later on the same subject is taken later: when it ends, the first order was seen.
        later = await executions.schedule(executions.program("true"), execution=fact.execution_id.name, attempt=1)
        await executions.end(later)
        assert executions.stages(await executions.observed(fact)) == ["KILLED"]
    assert end.stage == AttemptObserved.KILLED
    assert not mark.exists()


async def test_redelivered_order_launches_nothing_twice(start_launcher: Any, executions: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    fact = await executions.attempt(executions.program("sh", "-c", f"echo once >> {mark}"))
    scheduled = Scheduled(fact, Origin("event", "correlation"))
    async with start_launcher(consume=False) as runtime:
        await runtime.launch(scheduled)
        await runtime.launch(scheduled)
        await executions.end(fact)
        await runtime.launch(scheduled)
    async with start_launcher(consume=False) as runtime:
        await runtime.launch(scheduled)
        other = await executions.attempt(executions.program("true"))
        await runtime.launch(Scheduled(other, Origin("event", "correlation")))
        await executions.end(other)
    assert mark.read_text() == "once\n"


async def test_running_task_survives_the_launcher_and_is_adopted(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    command = f"echo $$ >> {started}; while [ ! -e {go} ]; do sleep 0.05; done; exit 5"
    async with start_launcher():
        fact = await executions.schedule(executions.program("sh", "-c", command))
        await executions.until(fact, AttemptObserved.RUNNING)
        pid = await _pid(started)
    assert not _is_gone(pid)
    async with start_launcher():
        go.touch()
        end = await executions.end(fact)
    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 5)
    assert len(started.read_text().split()) == 1


async def test_end_while_no_launcher_ran_is_reported_later(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    command = f"echo $$ > {started}; while [ ! -e {go} ]; do sleep 0.05; done; exit 6"
    async with start_launcher():
        fact = await executions.schedule(executions.program("sh", "-c", command))
        pid = await _pid(started)
    go.touch()
    while not _is_gone(pid):
        await asyncio.sleep(0.01)
    async with start_launcher():
        end = await executions.end(fact)
    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 6)


async def test_task_without_its_shepherd_is_killed_and_reported_lost(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    async with start_launcher():
        fact = await executions.schedule(executions.program("sh", "-c", f"echo $$ > {started}; sleep 600"))
        pid = await _pid(started)
        os.kill(os.getsid(pid), signal.SIGKILL)
        end = await executions.end(fact)
    assert end.stage == AttemptObserved.LOST
    assert _is_gone(pid)


async def test_abort_ordered_while_no_launcher_ran_is_carried_out(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    async with start_launcher():
        fact = await executions.schedule(executions.program("sh", "-c", f"echo $$ > {started}; sleep 600"))
        pid = await _pid(started)
    await executions.abort(fact)
    async with start_launcher():
        end = await executions.end(fact)
    assert end.stage == AttemptObserved.KILLED
    assert _is_gone(pid)


async def test_attempts_wait_for_room_and_start_when_there_is(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    hold = executions.program("sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done", cpu="2")
    async with start_launcher(cpu="2"):
        first = await executions.schedule(hold)
        await executions.until(first, AttemptObserved.RUNNING)
        second = await executions.schedule(executions.program("true", cpu="500m"))
        waiting = await executions.until(second, WAITING)
        go.touch()
        end = await executions.end(second)
    assert waiting.reason == "waits for 0.5 cpu (0 free); 0 ahead"
    assert end.exit.code == 0
    assert end.version > waiting.version


async def test_request_larger_than_the_machine_waits_with_a_reason_until_aborted(
    start_launcher: Any, executions: Any
) -> None:
    async with start_launcher(cpu="2"):
        fact = await executions.schedule(executions.program("true", cpu="64"))
        waiting = await executions.until(fact, WAITING)
        small = await executions.schedule(executions.program("true"))
        assert (await executions.end(small)).exit.code == 0, "it holds back nobody"
        await executions.abort(fact)
        end = await executions.end(fact)
    assert waiting.reason == "needs 64 cpu, this machine has 2"
    assert end.stage == AttemptObserved.KILLED


async def test_gpu_request_without_gpu_waits_with_a_reason(start_launcher: Any, executions: Any) -> None:
    async with start_launcher():
        fact = await executions.schedule(executions.program("true", gpu="1"))
        waiting = await executions.until(fact, WAITING)
        await executions.abort(fact)
        await executions.end(fact)
    assert waiting.reason == "needs 1 nvidia.com/gpu, this machine has 0"


async def test_gpus_are_given_exclusively(start_launcher: Any, executions: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = f'echo "$CUDA_VISIBLE_DEVICES"; while [ ! -e {go} ]; do sleep 0.02; done'
    async with start_launcher(devices=[Device(id="0"), Device(id="1")]):
        facts = [await executions.schedule(executions.program("sh", "-c", command, gpu="1")) for _ in range(2)]
        for fact in facts:
            await executions.until(fact, AttemptObserved.RUNNING)
        third = await executions.schedule(executions.program("sh", "-c", command, gpu="1"))
        assert (await executions.until(third, WAITING)).reason == "waits for 1 nvidia.com/gpu (0 free); 0 ahead"
        without = await executions.schedule(executions.program("sh", "-c", 'echo "<$CUDA_VISIBLE_DEVICES>"'))
        assert _log(await executions.end(without), "stdout") == "<>\n"
        go.touch()
        ends = [await executions.end(fact) for fact in (*facts, third)]
    assert sorted(_log(end, "stdout").strip() for end in ends[:2]) == ["0", "1"]
    assert _log(ends[2], "stdout").strip() in {"0", "1"}


async def test_memory_limit_is_enforced_where_it_is_switched_on(start_launcher: Any, executions: Any) -> None:
    hungry = executions.program("python3", "-c", "import time; b = b'x' * (300 << 20); time.sleep(60)")
    hungry.container.resources.limits.add(name="MEMORY", value="100Mi")
    async with start_launcher(enforce_memory_limits=True):
        end = await executions.end(await executions.schedule(hungry))
    assert end.exit.out_of_memory
    assert end.exit.signal == signal.SIGKILL
    assert end.usage.peak_memory_bytes > 100 << 20


async def test_children_of_a_task_end_with_it_though_its_shepherd_was_killed(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    started, child, other = tmp_path / "started", tmp_path / "child", tmp_path / "other"
    # One child in a session of its own, one whose parent is gone already.
    command = (
        f"setsid sh -c 'echo $$ > {child}; cd /; sleep 600' & "
        f"(setsid sh -c 'echo $$ > {other}; sleep 600' &); echo $$ > {started}; sleep 600"
    )
    async with start_launcher():
        fact = await executions.schedule(executions.program("sh", "-c", command))
        pids = [await _pid(path) for path in (started, child, other)]
        os.kill(os.getsid(pids[0]), signal.SIGKILL)
        end = await executions.end(fact)
    assert end.stage == AttemptObserved.LOST
    assert [_is_gone(pid) for pid in pids] == [True] * 3


async def test_obstacle_on_the_disk_is_waited_out(start_launcher: Any, executions: Any, tmp_path: Path) -> None:
    obstacle = tmp_path / "tasks" / "work"
    async with start_launcher():
        obstacle.touch()  # where the folder of the working directories should be
        with structlog.testing.capture_logs() as logs:
            fact = await executions.schedule(executions.program("true"))
            while not any(entry["event"] == "attempt.delayed" for entry in logs):
                await asyncio.sleep(0.01)
        obstacle.unlink()
        end = await executions.end(fact)
    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 0)


async def test_what_a_predecessor_started_last_keeps_its_devices(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    command = f"while [ ! -e {go} ]; do sleep 0.02; done"
    devices = [Device(id="0"), Device(id="1")]
    async with start_launcher(consume=False, devices=devices) as runtime:
        fact = await executions.attempt(executions.program("sh", "-c", command, gpu="1"))
        record = Record(tmp_path / "tasks", AttemptKey.of(fact))
        scheduled = Scheduled(fact, Origin("event", "correlation"))
        record.order(scheduled)
        record.make_work()
        held = {"cpu_millis": 250, "memory_bytes": 1 << 20, "devices": [devices[1].model_dump()]}
        order = {
            "id": 1,
            "directory": str(record.directory),
            "work": str(record.work),
            "argv": ["/bin/sh", "-c", command],
            "environment": {"PATH": os.defpath},
            "held": held,
            "memory_limit": 0,
            "code": "",
        }
        # The order reaches the shepherd only after the new launcher has looked for claims and found none.
        await workers.start_program(order)
        runtime._begin(Life(runtime._place, record, scheduled))
        await executions.until(fact, AttemptObserved.RUNNING)
        one = await executions.attempt(executions.program("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", gpu="1"))
        await runtime.launch(Scheduled(one, Origin("event", "correlation")))
        end = await executions.end(one)
        go.touch()
        await executions.end(fact)
    assert _log(end, "stdout") == "0\n"


async def test_new_folder_starts_nothing_that_ran_or_is_over(
    executions: Any, blob_settings: Any, tmp_path: Path
) -> None:
    """A launcher whose folder is lost sees all orders of the log again."""
    mark, go = tmp_path / "mark", tmp_path / "go"
    count = executions.program("sh", "-c", f"echo $FLYTE_INTERNAL_EXECUTION_ID >> {mark}")
    hold = executions.program("sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done")
    durable = f"launcher-{uuid4().hex[:8]}"
    over, running, ahead, aborted = [
        await executions.attempt(template, execution=f"{name}{uuid4().hex[:8]}")
        for name, template in (("over", count), ("running", hold), ("ahead", count), ("aborted", hold))
    ]

    def relevant(fact: AttemptScheduled) -> bool:
        return fact.execution_id.name in {f.execution_id.name for f in (over, running, ahead, aborted)}

    async def launch(folder: str, while_running: Callable[[], Awaitable[None]]) -> None:
        planner = Planner(executions.blobs, environment={})
        settings = ProcessSettings(directory=tmp_path / folder, preload=[], devices=[], grace_seconds=0.2)
        runtime = await ProcessRuntime.open(
            settings,
            planner,
            Observer(executions.log).report,
            task_defaults={},
            secrets=SecretSettings.model_validate({}),
        )
        assert runtime.is_new
        await executions.log.forget("EXECUTION", durable)
        runtime.begin()
        assert not runtime.is_new
        launcher = Launcher(executions.log, _Only(runtime, relevant), durable=durable)
        working = [asyncio.ensure_future(work) for work in (runtime.run(), launcher.run())]
        await while_running()
        for task in working:
            task.cancel()
        await asyncio.wait(working)

    async def first() -> None:
        for fact in (over, running, aborted):
            await executions.append(fact.execution_id.name, fact)
        await executions.end(over)
        await executions.until(running, AttemptObserved.RUNNING)
        await executions.abort(aborted)
        await executions.end(aborted)

    async def second() -> None:
        assert (await executions.end(running)).stage == AttemptObserved.LOST
        assert (await executions.end(ahead)).exit.code == 0

    await launch("first", first)
    await executions.append(ahead.execution_id.name, ahead)
    try:
        await launch("second", second)
    finally:
        go.touch()
    assert mark.read_text().split() == [over.execution_id.name, ahead.execution_id.name]
    for fact in (over, aborted):
        assert len([item for item in await executions.observed(fact) if item.version == 3000]) == 1


async def test_abort_and_exit_at_the_same_moment_give_one_end(
    start_launcher: Any, executions: Any, tmp_path: Path
) -> None:
    async with start_launcher(cpu="64", memory="64Gi"):

        async def race(number: int) -> AttemptScheduled:
            go = tmp_path / f"go{number}"
            command = f"while [ ! -e {go} ]; do sleep 0.01; done"
            fact = await executions.schedule(executions.program("sh", "-c", command if number % 4 else "true"))
            if number % 4 > 1:
                await executions.until(fact, AttemptObserved.RUNNING)
            if number % 4 == 2:
                go.touch()
            await executions.abort(fact)
            go.touch()
            await executions.end(fact)
            return fact

        facts = await asyncio.gather(*(race(number) for number in range(24)))
        # What is ordered last on each subject is carried out last.
        for fact in facts:
            await executions.end(
                await executions.schedule(executions.program("true"), execution=fact.execution_id.name, attempt=1)
            )
        for fact in facts:
            ends = [item for item in await executions.observed(fact) if item.stage in FINAL]
            assert len(ends) == 1, executions.stages(ends)
        async with asyncio.timeout(60):  # an attempt is closed after its end is reported
            while any((tmp_path / "tasks" / "open").iterdir()):
                await asyncio.sleep(0.01)
    assert list((tmp_path / "tasks" / "work").iterdir()) == []


async def test_an_attempts_end_is_said_once_whoever_says_it(executions: Any) -> None:
    fact = await executions.attempt(executions.program("true"))
    observer, origin = Observer(executions.log), Origin("e1", "c1")
    for stage in (AttemptObserved.RUNNING, AttemptObserved.EXITED, AttemptObserved.KILLED):
        said = AttemptObserved(execution_id=fact.execution_id, node_id=fact.node_id, stage=stage, version=3000)
        said.occurred_at.GetCurrentTime()
        await observer.report(said, origin)
    stages = [item.stage for item in await executions.observed(fact)]
    assert stages == [AttemptObserved.RUNNING, AttemptObserved.EXITED]


class _Only:
    """A runtime that hears of some executions alone: tests share the stream."""

    def __init__(self, runtime: ProcessRuntime, relevant: Callable[[Any], bool]) -> None:
        self._runtime = runtime
        self._relevant = relevant

    async def launch(self, scheduled: Scheduled, *, ran: bool = False) -> None:
        if self._relevant(scheduled.fact):
            await self._runtime.launch(scheduled, ran=ran)

    async def abort(self, key: AttemptKey, reason: str, origin: Origin) -> None:
        if (self._runtime._settings.directory / "attempts" / "flytesnacks" / "development" / key.execution).exists():
            await self._runtime.abort(key, reason, origin)

    async def ended(self, project: str, domain: str, execution: str, at: datetime) -> None: ...

    async def adopt(self) -> None: ...

    async def run(self) -> None: ...
