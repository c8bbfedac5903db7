"""Make `.venv` from the locked dependencies: `python3 tools/bootstrap.py`.

Needs nothing but Python 3.11 or newer. Packages come from whatever index your pip is configured for; every file is
checked against its hash in the lock file. The first of them is `uv`, which installs the others in seconds; pip does it,
in a minute, where uv cannot.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
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
    locked = re.search(r"^uv==.*?(?=^\S)", LOCK.read_text() + "end", re.MULTILINE | re.DOTALL)
    if locked is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "uv.lock"
        requirement.write_text(locked.group())
        pip = [_python(), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", requirement]
        if subprocess.run(pip, cwd=ROOT, check=False).returncode:
            return False
    options, certificates = _pip_configuration()
    # The machine's certificates, as pip would use them: uv brings its own list otherwise.
    environment = {"UV_NATIVE_TLS": "1", **certificates, **os.environ}
    uv = [_python().with_name("uv"), "pip", "install", "--python", _python(), "--require-hashes", "-r", LOCK, *options]
    if not sys.stdout.isatty():
        uv.append("--quiet")
    return subprocess.run(uv, cwd=ROOT, env=environment, check=False).returncode == 0


def _pip_configuration() -> tuple[list[str], dict[str, str]]:
    """pip's own configuration in uv's words, as options and variables: uv does not read it."""
    listing = subprocess.run([_python(), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    options: list[str] = []
    variables: dict[str, str] = {}
    names = {"index-url": "--index-url", "extra-index-url": "--extra-index-url", "find-links": "--find-links"}
    for scope, name, value in re.findall(r"^(\S+?)\.([\w-]+)='(.*)'$", listing.stdout, re.MULTILINE):
        if scope not in ("global", "install", ":env:"):
            continue
        if name == "cert":
            variables["SSL_CERT_FILE"] = value
        elif name in names:
            for one in value.replace("\\n", " ").split():
                options += [names[name], one]
    return options, variables


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
