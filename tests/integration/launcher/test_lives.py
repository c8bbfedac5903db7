"""What happens to attempts: ends of all kinds, aborts, restarts of the launcher, waiting for room."""

# Tests wait for what a process writes, on a local disk.
# ruff: noqa: ASYNC110, ASYNC240

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.process.devices import Device
from services.k8s_launcher.runtime import Origin, Scheduled

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
