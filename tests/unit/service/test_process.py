"""What a service shows of itself to whoever supervises it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys, time
import flightlog_service.process as process

process.ALIVE_SECONDS = 0.05

async def run(settings, ready):
    ready(None)
    async def until_told():
        while True:
            line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            if line == "hang\\n":
                settings.alive_file.unlink()
                time.sleep(10 * process.ALIVE_SECONDS)  # the loop is blocked
                print("alive" if settings.alive_file.exists() else "hanging", flush=True)
    await until_told()

process.run_until_stopped("probe", process.ServiceSettings, run)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLIGHTLOG_")},
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "FLIGHTLOG_LOG__NATS_URL": "nats://nowhere:4222",
        "FLIGHTLOG_BLOBS__BUCKET": "b",
        "FLIGHTLOG_BLOBS__ENDPOINT": "http://nowhere",
        "FLIGHTLOG_BLOBS__ACCESS_KEY": "a",
        "FLIGHTLOG_BLOBS__SECRET_KEY": "s",
        "FLIGHTLOG_READY_FILE": str(tmp_path / "ready"),
        "FLIGHTLOG_ALIVE_FILE": str(tmp_path / "alive"),
    }


def until(fact: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not fact.exists():
        assert time.monotonic() < deadline, f"{fact} did not appear"
        with pytest.raises(subprocess.TimeoutExpired):  # it still runs
            process.wait(0.01)


def test_a_live_process_touches_its_file_and_a_hanging_one_does_not(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    alive, ready = tmp_path / "alive", tmp_path / "ready"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            until(ready, process)
            until(alive, process)
            alive.unlink()
            until(alive, process)  # again and again
            process.stdin.write("hang\n")
            process.stdin.flush()
            assert process.stdout.readline() == "hanging\n"
            until(alive, process)
        finally:
            process.kill()


def test_a_ready_file_of_a_former_process_is_gone_before_the_new_one_serves(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    ready = tmp_path / "ready"
    ready.write_text("of a former process")
    waiting = PROGRAM.replace("    ready(None)\n", "    print('begun', flush=True)\n")
    with subprocess.Popen(
        [sys.executable, "-c", waiting], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            assert not ready.exists()
            process.send_signal(signal.SIGTERM)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(("name", "value"), [("LOG__NO_SUCH", "1"), ("BLOBS__BUCKET", None), ("TELEMETRY", "no json")])
def test_wrong_settings_have_an_exit_code_of_their_own_and_say_what_is_wrong(
    environment: dict[str, str], name: str, value: str | None
) -> None:
    environment.pop(f"FLIGHTLOG_{name}", None)
    wrong = {f"FLIGHTLOG_{name}": value} if value is not None else {}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment | wrong, capture_output=True, text=True, check=False
    )
    assert ended.returncode == os.EX_CONFIG
    assert "probe: the settings are wrong" in ended.stderr
    assert name.rpartition("__")[2].lower() in ended.stderr
    assert "Traceback" not in ended.stderr
