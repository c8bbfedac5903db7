"""Make `.venv` from the locked dependencies: `python3 tools/bootstrap.py`.

Needs nothing but Python 3.11 or newer. Packages come from whatever index your pip is configured for; every file is
checked against its hash in the lock file. `uv` does the work where it is installed (seconds instead of a minute).
"""

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.lock"
STAMP = ENVIRONMENT / ".installed"


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs before anything has checked
        sys.exit(
            f"Flightlog needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 …"
        )
    begun = time.monotonic()
    total = len(re.findall(r"^\S+==", LOCK.read_text(), re.MULTILINE))
    print(f"making .venv with {total} locked packages (the first time only)", flush=True)
    _make_environment()
    if not _install_with_uv():
        _install_with_pip(total)
    _link_sources()
    STAMP.touch()
    print(f".venv is ready ({time.monotonic() - begun:.0f} s)", flush=True)


def _make_environment() -> None:
    """An environment made by another Python, or half made, is made again."""
    marker = ENVIRONMENT / "pyvenv.cfg"
    if marker.exists() and f"version = {sys.version.split()[0]}" in marker.read_text() and _python().exists():
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    try:
        venv.create(ENVIRONMENT, with_pip=True, symlinks=os.name != "nt")
    except subprocess.CalledProcessError:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        sys.exit("This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv")


def _install_with_uv() -> bool:
    uv = shutil.which("uv")
    if uv is None:
        return False
    command = [uv, "pip", "install", "--python", str(_python()), "--require-hashes", "-r", str(LOCK), *_index_options()]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _index_options() -> list[str]:
    """pip's own configuration, in uv's words: uv does not read it."""
    listing = subprocess.run([_python(), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    options: list[str] = []
    names = {"index-url": "--index-url", "extra-index-url": "--extra-index-url", "find-links": "--find-links"}
    for scope, name, value in re.findall(r"^(\S+?)\.([\w-]+)='(.*)'$", listing.stdout, re.MULTILINE):
        if name in names and scope in ("global", "install", ":env:"):
            for one in value.replace("\\n", " ").split():
                options += [names[name], one]
    return options


def _install_with_pip(total: int) -> None:
    # Without byte-compiling all 160 packages: Python does that for what is imported, when it is.
    command = [_python(), "-m", "pip", "install", "--no-compile", "--progress-bar", "off", "-r", LOCK]
    seen = 0
    rest: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            rest.append(line)
            if line.startswith("Collecting "):
                seen += 1
                _progress(f"  {seen}/{total} {line.split()[1].partition('==')[0]}")
            elif line.startswith("Installing collected"):
                _progress("  unpacking", last=True)
    if pip.returncode:
        sys.exit("".join(rest[-15:]) + f"pip ended with {pip.returncode}: the packages could not be installed.")


def _progress(text: str, *, last: bool = False) -> None:
    """One line that changes on a terminal; elsewhere only its last state."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="\n" if last else "", flush=True)
    elif last:
        print(text, flush=True)


def _link_sources() -> None:
    """Make the packages of this repository importable, and `flightlog` a command."""
    subprocess.run(
        [_python(), "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT],
        cwd=ROOT,
        check=True,
    )


def _python() -> Path:
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


if __name__ == "__main__":
    main()
