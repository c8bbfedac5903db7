"""The image: what the Dockerfile copies is enough to run every service, and all of it may be copied."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flightlog_cli.generate import ROOT, SERVING

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
MODULES = [
    *(f"services.{name}.main" for name in (*SERVING, "k8s_launcher")),
    "services.k8s_launcher.copying.__main__",
    "flightlog_cli.main",
]
LISTING = """
import importlib, json, sys
modules, sys.argv[1:] = sys.argv[1:], ["--help"]
for module in modules:
    try:
        importlib.import_module(module)
    except SystemExit as ended:  # of a command that has said how it is used
        assert not ended.code
names = [name for name in sys.modules if name.partition(".")[0] == "services" or name.startswith("flightlog_")]
sys.stdout.write("\\n" + json.dumps([sys.modules[name].__file__ for name in names if sys.modules[name].__file__]))
"""


def instructions(name: str) -> list[list[str]]:
    """Arguments of all instructions of a kind, in the stage that becomes the image."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    return [shlex.split(line)[1:] for line in last.splitlines() if line.startswith(f"{name} ")]


def copied() -> list[tuple[str, str]]:
    return [(source, target) for source, target in (c for c in instructions("COPY") if len(c) == 2)]


def variable(name: str) -> str:
    (environment,) = instructions("ENV")
    return dict(entry.split("=", 1) for entry in environment)[name]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the image, below a folder."""
    root = tmp_path_factory.mktemp("image")
    (workdir,) = instructions("WORKDIR")[0]
    for source, target in copied():
        shutil.copytree(
            ROOT / source, root / workdir.lstrip("/") / target, ignore=shutil.ignore_patterns("__pycache__")
        )
    return root


def test_the_image_has_all_that_its_programs_import(image: Path) -> None:
    """Everything of ours that they load is in the image, and not from this checkout."""
    path = os.pathsep.join(f"{image}{part}" for part in variable("PYTHONPATH").split(":"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", LISTING, *MODULES],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=image,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout.splitlines()[-1])
    assert files
    assert not [file for file in files if not file.startswith(str(image))]


def test_what_is_copied_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    everything = {shlex.split(line)[1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")}
    assert {source for source in everything if not source.startswith("--from")} == kept
    assert all((ROOT / source).exists() for source in kept)


def test_it_does_not_run_as_root_and_says_whether_it_is_well() -> None:
    ((user,),) = instructions("USER")
    assert int(user) > 0
    (check,) = [line for line in DOCKERFILE.splitlines() if line.startswith("HEALTHCHECK ")]
    assert "$FLIGHTLOG_READY_FILE" in check
    assert "$FLIGHTLOG_ALIVE_FILE" in check
    assert variable("FLIGHTLOG_READY_FILE") == "/tmp/ready"


def test_the_health_check_says_no_before_yes_after_and_no_when_it_hangs(tmp_path: Path) -> None:
    """The command itself, in a shell as Docker runs it."""
    (check,) = [line for line in DOCKERFILE.splitlines() if line.startswith("HEALTHCHECK ")]
    command = check.partition(" CMD ")[2]
    ready, alive = tmp_path / "ready", tmp_path / "alive"
    environment = {"PATH": os.environ["PATH"], "FLIGHTLOG_READY_FILE": str(ready), "FLIGHTLOG_ALIVE_FILE": str(alive)}

    def healthy() -> bool:
        done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, check=False)
        return done.returncode == 0

    assert not healthy()
    alive.touch()
    assert not healthy()
    ready.touch()
    assert healthy()
    os.utime(alive, (0, 0))
    assert not healthy()


def test_base_images_are_pinned_and_the_same() -> None:
    bases = {line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")}
    (base,) = bases
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
