"""The embedded servers: what they promise to those who start them."""

import asyncio
import json
import stat
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
import pytest

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.embedded.child import StackError
from flightlog_cli.embedded.servers import Servers, run_servers


async def test_servers_serve_again_after_kill(servers: Servers) -> None:
    for name in ("nats", "postgres", "s3"):
        before = servers.pids[name]
        await servers.kill(name)
        assert servers.pids[name] == 0
        await servers.restart(name)
        assert servers.pids[name] not in (0, before)
    connection = await asyncpg.connect(servers.dsn)
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()


async def test_data_and_addresses_survive_a_restart(tmp_path: Path) -> None:
    async with run_servers(tmp_path) as first:
        connection = await asyncpg.connect(first.dsn)
        await connection.execute("CREATE TABLE kept (id int)")
        await connection.close()
    async with run_servers(tmp_path) as second:
        assert (second.nats_url, second.s3_endpoint, second.dsn) == (first.nats_url, first.s3_endpoint, first.dsn)
        connection = await asyncpg.connect(second.dsn)
        assert await connection.fetchval("SELECT count(*) FROM kept") == 0
        await connection.close()


async def test_folder_in_use_is_a_clear_error(servers: Servers) -> None:
    with pytest.raises(StackError, match="is in use by another"):
        async with run_servers(folder_of(servers)):
            pass


async def test_folder_with_a_long_path_works(tmp_path: Path) -> None:
    async with run_servers(tmp_path / ("long" * 25)) as servers:
        connection = await asyncpg.connect(servers.dsn)
        await connection.close()


async def test_secrets_are_readable_by_their_owner_alone(servers: Servers) -> None:
    folder = folder_of(servers)
    secrets = json.loads((folder / "credentials.json").read_text())
    for path in (folder / "credentials.json", folder / "nats" / "nats.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listing = await asyncio.create_subprocess_exec("ps", "-ewwo", "args", stdout=asyncio.subprocess.PIPE)
    commands, _ = await listing.communicate()
    assert str(folder).encode() in commands, "the servers are among them"
    for name in ("nats_password", "postgres_password", "s3_secret_key"):
        assert secrets[name].encode() not in commands


async def test_password_is_needed(servers: Servers) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(servers.dsn, password="wrong")


async def test_object_store_shows_direct_writes_at_once_and_rests_when_idle(
    servers: Servers, blob_settings: BlobSettings
) -> None:
    """Services write objects into the folder behind the S3 server's back, and replace them."""
    store = BlobStore.open(blob_settings.model_copy(update={"driver": "s3", "directory": None}))
    runs = f"runs-{uuid4().hex}"
    try:
        for number in range(100):
            folder = servers.object_directory / servers.bucket / runs / str(number % 5) / f"n{number}"
            folder.mkdir(parents=True)
            for content in (b"first" * number, b"second"):
                (folder / "new").write_bytes(content)
                (folder / "new").replace(folder / "inputs.pb")
                uri = store.uri(runs, str(number % 5), f"n{number}", "inputs.pb")
                assert await store.get(uri) == content
            await store.put(store.uri(runs, str(number % 5), f"n{number}", "outputs.pb"), b"out")
            assert (folder / "outputs.pb").read_bytes() == b"out"
    finally:
        await store.close()
    process = psutil.Process(servers.pids["s3"])
    used = sum(process.cpu_times()[:2])
    await asyncio.sleep(1.0)  # what is measured is a span of doing nothing
    assert sum(process.cpu_times()[:2]) - used < 0.2


def folder_of(servers: Servers) -> Path:
    """The data folder."""
    return servers.object_directory.parent
