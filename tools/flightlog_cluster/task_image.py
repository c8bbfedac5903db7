"""The image that tasks run in on a real kubelet: Debian, Python, flytekit and this project, as in deploy/Dockerfile.

Made with debootstrap and uv, once per machine for each content of the lock file; the project's own code, in a layer of
its own, each time.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
from pathlib import Path

from flightlog_cluster.build import BuildFailed, cache, program
from flightlog_cluster.images import write_image, write_layer

TASK_IMAGE = "localhost/flightlog:test"
PAUSE_IMAGE = "localhost/pause:test"
_ROOT = Path(__file__).resolve().parents[2]
_RELEASE = "bookworm"
# Debian 12's Python looks for what is not its own there.
_PACKAGES = "usr/local/lib/python3.11/dist-packages"
_SCRIPT = "#!/usr/bin/python3\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
_ENTRY_POINTS = {
    "pyflyte": ("flytekit.clis.sdk_in_container.pyflyte", "main"),
    "pyflyte-execute": ("flytekit.bin.entrypoint", "execute_task_cmd"),
    "pyflyte-fast-execute": ("flytekit.bin.entrypoint", "fast_execute_task_cmd"),
    "pyflyte-map-execute": ("flytekit.bin.entrypoint", "map_execute_task_cmd"),
}


async def images(folder: Path) -> list[Path]:
    """Archives of the images that pods need, in a folder. Raises `BuildFailed`."""
    pause = await program("pause")
    return await asyncio.to_thread(_written, folder, pause, await _base(), await _packages())


def _written(folder: Path, pause: Path, base: Path, packages: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    holding = folder / "pause-layer.tar"
    write_layer(holding, {"pause": pause})
    write_image(folder / "pause.tar", PAUSE_IMAGE, [holding], {"Entrypoint": ["/pause"]})
    own = folder / "own-layer.tar"
    contents = {f"opt/flightlog/{part}": _ROOT / part for part in ("libs", "services", "tools/flightlog_cli")}
    scripts = folder / "scripts"
    scripts.mkdir(exist_ok=True)
    for name, (module, function) in _ENTRY_POINTS.items():
        script = scripts / name
        script.write_text(_SCRIPT.format(module=module, function=function))
        script.chmod(0o755)
        contents[f"usr/local/bin/{name}"] = script
    write_layer(own, contents)
    config = {
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH=/opt/flightlog:/opt/flightlog/libs:/opt/flightlog/tools",
            "PYTHONUNBUFFERED=1",
            "HOME=/root",
        ],
        "WorkingDir": "/root",
    }
    write_image(folder / "task.tar", TASK_IMAGE, [base, packages, own], config)
    return [folder / "pause.tar", folder / "task.tar"]


async def _base() -> Path:
    """A layer with Debian and its Python."""
    target = cache() / f"debian-{_RELEASE}-python3.tar"
    if target.exists():
        return target
    tree = target.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    included = "python3,ca-certificates,libgomp1"
    await _run("debootstrap", "--variant=minbase", f"--include={included}", _RELEASE, str(tree))
    shutil.rmtree(tree / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(tree / "var/lib/apt/lists", ignore_errors=True)
    # A name that tests of images use.
    (tree / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    await _pack(target, {"": tree})
    shutil.rmtree(tree)
    return target


async def _packages() -> Path:
    """A layer with the locked packages."""
    lock = _ROOT / "requirements.lock"
    target = cache() / f"packages-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}.tar"
    if target.exists():
        return target
    tree = target.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    uv = str(Path(sys.executable).with_name("uv"))
    await _run(uv, "pip", "install", "--quiet", "--python-version", "3.11", "--target", str(tree), "-r", str(lock))
    await _pack(target, {_PACKAGES: tree})
    shutil.rmtree(tree)
    return target


async def _pack(target: Path, contents: dict[str, Path]) -> None:
    partial = target.with_suffix(".partial")
    await asyncio.to_thread(write_layer, partial, contents)
    partial.rename(target)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise BuildFailed(f"{' '.join(command)} failed:\n{output.decode(errors='replace')[-4000:]}")
