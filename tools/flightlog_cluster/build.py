"""Builds the programs of the control plane from `tools/control_plane`, once for each content of that folder.

`python -m flightlog_cluster.build` builds the control plane beforehand.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import IO

_LOCK_SECONDS = 0.2
SOURCE = Path(__file__).resolve().parents[1] / "control_plane"


class BuildFailed(Exception):
    """A program could not be built; the message says why, for whoever asked."""


class GoMissing(BuildFailed):
    """There is no Go on this machine."""


def cache() -> Path:
    """Where to keep what is built once per machine: $FLIGHTLOG_CACHE, else `flightlog` in the user's cache folder."""
    own = os.environ.get("FLIGHTLOG_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flightlog"


def find_go() -> str:
    """The go command. Raises `GoMissing`."""
    found = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if found is None:
        raise GoMissing("Go is missing, and the Kubernetes control plane is built with it: install Go 1.24 or later")
    return found


def is_built(package: str = ".", source: Path = SOURCE) -> bool:
    """Whether `program` has it already."""
    return _target(package, source).exists()


async def program(package: str = ".", source: Path = SOURCE) -> Path:
    """The program of a package of `tools/control_plane` (`.`: the control plane), built when it is not there yet.

    `source` is another Go module. The first build takes minutes. Raises `BuildFailed`.
    """
    target = _target(package, source)
    if not target.exists():
        go = find_go()
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        with target.with_suffix(".lock").open("w") as lock:
            # Several test processes ask at once; one builds.
            while not _locked(lock):  # noqa: ASYNC110 (no event tells)
                await asyncio.sleep(_LOCK_SECONDS)
            if not target.exists():
                await _build(go, package, target, source)
    return target


async def _build(go: str, package: str, target: Path, source: Path) -> None:
    partial = target.with_suffix(".partial")
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        # The compiler's memory is given back when it ends, a second later: collecting it costs a tenth of the time.
        "GOGC": "400",
        "GOFLAGS": "-buildvcs=false",
    }
    package = package if package == "." else f"./{package}"
    process = await asyncio.create_subprocess_exec(
        *(go, "build", "-ldflags=-s -w", "-o", str(partial), package),
        cwd=source,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise BuildFailed(f"go build in {source} failed:\n{output.decode(errors='replace')[-4000:]}")
    partial.rename(target)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _target(package: str, source: Path) -> Path:
    name = "control-plane" if package == "." else package
    return cache() / f"{name}-{_digest(package, source)}"


def _digest(package: str, source: Path) -> str:
    files = (source / "go.mod", source / "go.sum", *sorted((source / package).glob("*.go")))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def main() -> None:
    """Build the control plane, or say why not."""
    try:
        print(asyncio.run(program()))
    except BuildFailed as reason:
        print(reason)


if __name__ == "__main__":
    main()
