"""Tasks as a user would write them, run by the launcher's tests."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from flytekit import Secret, current_context, map_task, task

LOADED_BEFORE = frozenset(sys.modules)


@task
def increment(x: int) -> int:
    return x + 1


increments = map_task(increment)


@task(
    secret_requests=[
        Secret(group="Db", key="Password", env_var="DB_PASSWORD", mount_requirement=Secret.MountType.ENV_VAR),
        Secret(group="certificates", key="client.pem"),
    ]
)
def read_secrets() -> str:
    """What it was given, and where else secrets of the same launcher are to be seen."""
    secrets = current_context().secrets
    seen = [name for name, value in os.environ.items() if "not for tasks" in value]
    return "|".join(
        [
            secrets.get("Db", "Password"),
            os.environ["DB_PASSWORD"],
            secrets.get("certificates", "client.pem"),
            secrets.get_secrets_file("certificates", "client.pem"),
            ",".join(seen),
        ]
    )


@task
def clock() -> float:
    return time.time()


@task
def fail(message: str) -> int:
    if message:
        raise ValueError(message)
    return 0


@task
def crash() -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


@task
def environment(name: str) -> str:
    return os.environ.get(name, "(unset)")


@task
def whereabouts() -> str:
    import random

    import numpy

    context = current_context()
    words = [
        Path.cwd().name,
        str(os.getpid() == os.getpgid(0)),
        context.execution_id.name,
        context.task_id.name,
        str(random.random()),
        str(numpy.random.rand()),
        os.environ.get("PYTHONPATH", ""),
        __name__,
    ]
    print("said to stdout")
    return "|".join(words)


@task
def sleep(path: str, seconds: float) -> int:
    """Leaves its process id at `path` when it begins, and adds a line per start beside it."""
    with Path(path + ".starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)
    return 1


@task
def allocate(mebibytes: int) -> int:
    block = bytearray(mebibytes << 20)
    block[::4096] = b"x" * len(block[::4096])
    return len(block)


@dataclass
class Point:
    x: int


@task
def mirror(point: Point) -> Point:
    return Point(-point.x)


@task
def loaded_late() -> str:
    """What had to be loaded to define the tasks of this module."""
    return ",".join(sorted(sys.modules.keys() - LOADED_BEFORE - {__name__}))


@task
def spoil() -> str:
    """Overwrites and removes what lies in its directory; says what it found there."""
    code = Path(__file__)
    found = sorted(path.name for path in code.parent.iterdir() if path.is_file())
    with code.open("r+") as file:
        file.write("raise RuntimeError('spoilt')  #")
    for name in found:
        if name != code.name:
            (code.parent / name).unlink()
    return ",".join(found)


@task
def store_region() -> str:
    """The regions of the S3 clients in use: of the one that read the inputs and will write the outputs."""
    import s3fs

    clients = [instance._s3 for instance in s3fs.S3FileSystem._cache.values()]
    return ",".join(client.meta.region_name for client in clients if client is not None)
