"""A stack on which everything happens that can be shown, Prometheus beside it, and the role that Grafana asks as."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest

from flightlog_cli.stack_process import StackProcess
from flightlog_dashboards.asking import Sources
from flightlog_dashboards.macros import Shown
from tests.integration.dashboards.load import Load
from tests.integration.dashboards.prometheus import ScrapingPrometheus, free_port

READER = Path(__file__).parents[3] / "deploy" / "postgres" / "reader.sh"
PASSWORD = "it's to read"


@dataclass(frozen=True)
class Ran:
    """A stack on which something of everything has happened while Prometheus looked."""

    stack: StackProcess
    prometheus: ScrapingPrometheus
    shown: Shown
    reader: str
    """Data source name of the role that may only read."""


@pytest.fixture(scope="package")
def prometheus_program() -> str:
    """Path of Prometheus."""
    found = shutil.which("prometheus", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt/homebrew/bin")
    if found is None:
        pytest.skip("Prometheus is not installed (Debian: apt-get install prometheus): its queries cannot be run")
    return found


@pytest.fixture(scope="package")
def ran(prometheus_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The load twice, with scrapes before, between and after: whatever is counted has grown between two of them."""
    webhook = {"name": "nobody", "url": f"http://127.0.0.1:{free_port()}/", "launch_plans": ["works", "fails"]}
    environment = {
        "FLIGHTLOG_PROCESS__PRELOAD": "[]",
        "FLIGHTLOG_SCHEDULER__DELIVERIES__WEBHOOKS": json.dumps([webhook]),
        "FLIGHTLOG_HISTORY__ARCHIVE__CLOSE_SECONDS": "1",
        "FLIGHTLOG_HISTORY__ARCHIVE__LOOK_SECONDS": "0.2",
    }
    with StackProcess(tmp_path_factory.mktemp("charted"), environment=environment) as stack:
        folder = tmp_path_factory.mktemp("prometheus")
        prometheus = ScrapingPrometheus(prometheus_program, folder, stack.endpoints["metrics"])
        prometheus.start()
        try:
            begun = asyncio.run(prometheus.scraped(2))
            with grpc.insecure_channel(stack.grpc) as channel:
                load = Load(channel)
                load.register()
                for _ in range(2):
                    load.round()
                    asyncio.run(prometheus.scraped(2))
            reader = asyncio.run(_reader(stack.endpoints["postgres"]))
            yield Ran(stack, prometheus, Shown(begun - 30, time.time(), 1, 8), reader)
        finally:
            prometheus.stop()


@pytest.fixture
async def sources(ran: Ran) -> AsyncIterator[Sources]:
    """Prometheus, and Postgres as Grafana sees it."""
    connection = await asyncpg.connect(ran.reader)
    yield Sources(ran.prometheus.client, connection)
    await connection.close()


async def _reader(owner: str) -> str:
    """Makes the role as docker-compose's database does, of the very script; gives its data source name."""
    script = READER.read_text()
    (statements,) = re.findall(r"<<'SQL'\n(.*?)^SQL$", script, re.DOTALL | re.MULTILINE)
    quoted = "'" + PASSWORD.replace("'", "''") + "'"
    connection = await asyncpg.connect(owner)
    try:
        await connection.execute(statements.replace(":'password'", quoted))
    finally:
        await connection.close()
    parts = urlsplit(owner)
    query = parts.query
    assert "host=" in query, "the embedded Postgres listens on a socket"
    return f"postgresql:///{parts.path.lstrip('/')}?{query}&user=grafana&password={PASSWORD.replace(' ', '%20')}"
