"""The example client in TypeScript, with code generated from the protos: it follows, and goes on after a kill."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Subject
from flightlog_protos.execution.v1.facts_pb2 import NodeQueued, TimerSet
from flightlog_read import DatabaseSettings
from tests.integration.history.history_process import HistoryProcess

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "watch-events-typescript"
_NO_REGISTRY = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED|E403|E50[0-9]")


@pytest.fixture(scope="module")
def client() -> list[str]:
    """The command of the client: installed by its lock file, generated and compiled."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on this machine: the client in TypeScript is not tried")
    major = int(_run([node, "--version"]).stdout.lstrip("v").partition(".")[0])
    if major < 20:
        pytest.skip(f"node {major} is too old: the client in TypeScript needs 20")
    installed = EXAMPLE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (EXAMPLE / "package-lock.json").stat().st_mtime:
        # No package's own code is run by installing it.
        ended = _run([npm, "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"], check=False)
        if ended.returncode and _NO_REGISTRY.search(ended.stderr):
            pytest.skip("the npm registry cannot be reached: the client in TypeScript is not tried")
        assert ended.returncode == 0, ended.stderr
    _run([sys.executable, str(ROOT / "tools" / "generate_typescript.py"), "src/generated"])
    _run([node, "node_modules/typescript/bin/tsc"])
    return [node, str(EXAMPLE / "build" / "main.js")]


def _run(command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=300, check=False)
    assert not check or ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended


async def test_events_reach_a_client_in_typescript_through_a_kill(
    client: list[str],
    log_settings: LogSettings,
    blob_settings: BlobSettings,
    database_settings: DatabaseSettings,
    tmp_path: Path,
) -> None:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test-typescript")
    subject = Subject.of("EXECUTION", f"p{uuid4().hex}", "development", "f.1")
    head = Head.EMPTY
    expected: list[int] = []

    async def append(count: int) -> None:
        nonlocal head
        for number in range(count):
            facts = [NodeQueued(node_id=f"n{number}"), TimerSet(timer_id="t")]
            record = await log.append(subject, facts, head=head, cause=Cause.request("ann", "", ""))
            # Not meant by the client's filter.
            head = (
                await log.append(subject, [TimerSet(timer_id="u")], head=record.head, cause=Cause.service("x"))
            ).head
            expected.append(record.sequence)

    service = HistoryProcess(log_settings, blob_settings, database_settings, tmp_path)
    watching: asyncio.subprocess.Process | None = None
    try:
        await service.start()
        await append(20)
        asked = ("--project", subject.parts[0], "--fact", "NodeQueued", "--count", "60")
        watching = await asyncio.create_subprocess_exec(
            *client, f"127.0.0.1:{service.port}", *asked, stdout=asyncio.subprocess.PIPE
        )
        found = [await _next(watching) for _ in range(20)]
        killing = asyncio.ensure_future(service.kill())
        await append(20)
        await killing
        await service.start()
        await append(20)
        found += [await _next(watching) for _ in range(40)]
        assert await asyncio.wait_for(watching.wait(), 30) == 0
    finally:
        if watching is not None and watching.returncode is None:
            watching.kill()
        await service.close()
        await log.close()
        await blobs.close()
    assert [int(event["sequence"]) for event in found] == expected
    assert found[1]["facts"] == [{"fact": "NodeQueued", "nodeId": "n1"}, {"fact": "TimerSet", "timerId": "t"}]
    assert (found[0]["of"], found[0]["by"], found[0]["stream"]) == (list(subject.parts), "ann", "EXECUTION")


async def _next(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    return json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
