"""The servers under the services: the log (nats-server), the read models (Postgres) and the object store (rclone).

They are started together on one data folder and stop together. Whoever holds a `Servers` may kill and restart each of
them: ports, passwords and paths stay the same.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .child import Child, StackError
from .folder import DataFolder
from .nats import nats_program
from .object_store import BUCKET, object_store_program
from .postgres import postgres_program


@dataclass(frozen=True)
class Servers:
    """Where the servers of one data folder are, and how to get in."""

    nats_url: str
    nats_user: str
    nats_password: str
    dsn: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    bucket: str
    object_directory: Path
    """The folder of buckets: the object s3://<bucket>/<key> is the file <object_directory>/<bucket>/<key>."""
    children: Mapping[str, Child]
    """Keys "nats", "postgres", "s3"."""

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name; 0 for one that is not running."""
        return {name: child.pid for name, child in self.children.items()}

    async def kill(self, name: str) -> None:
        """kill -9 one server and wait until it is gone."""
        await self.children[name].kill()

    async def restart(self, name: str) -> None:
        """Start a server again and wait until it serves."""
        await self.children[name].restart()


@asynccontextmanager
async def run_servers(data: Path, *, host: str = "127.0.0.1") -> AsyncGenerator[Servers]:
    """Run the three servers on a data folder, which is made when missing; stop them on leaving.

    `host` is where the S3 endpoint listens. The log and Postgres are for this machine alone.
    Raises `StackError` when the folder is in use or a server does not come up.
    """
    folder = DataFolder(data)
    try:
        async with servers_on(folder, host=host) as servers:
            yield servers
    finally:
        folder.release()


@asynccontextmanager
async def servers_on(folder: DataFolder, *, host: str) -> AsyncGenerator[Servers]:
    """`run_servers` on a folder that the caller has locked already."""
    nats, nats_url = nats_program(folder)
    store, s3_endpoint, objects = object_store_program(folder, host)
    children: dict[str, Child] = {"nats": Child(nats), "s3": Child(store)}

    async def start_postgres() -> str:
        program, dsn = await postgres_program(folder)  # may make the cluster first
        children["postgres"] = Child(program)
        await children["postgres"].start()
        return dsn

    try:
        try:
            async with asyncio.TaskGroup() as starting:
                starting.create_task(children["nats"].start())
                starting.create_task(children["s3"].start())
                postgres = starting.create_task(start_postgres())
        except* StackError as failures:
            raise failures.exceptions[0] from None
        credentials = folder.credentials()
        yield Servers(
            nats_url=nats_url,
            nats_user=credentials.nats_user,
            nats_password=credentials.nats_password,
            dsn=postgres.result(),
            s3_endpoint=s3_endpoint,
            s3_access_key=credentials.s3_access_key,
            s3_secret_key=credentials.s3_secret_key,
            bucket=BUCKET,
            object_directory=objects,
            children=children,
        )
    finally:
        await asyncio.gather(*(child.stop() for child in children.values()))
