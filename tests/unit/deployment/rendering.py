"""What deploy/ becomes: manifests as kustomize makes them, the project as docker compose reads it."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from flightlog_cli.generate import ROOT
from flightlog_cluster.build import GoMissing, program

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = tuple(sorted(path.parent.name for path in (K8S / "overlays").glob("*/kustomization.yaml")))
COMPOSE = ROOT / "docker-compose.yml"
COMPOSE_EXAMPLE = ROOT / "deploy" / "compose.env.example"
CHECKS = ROOT / "tools" / "deployment_check"
SECRET = "s3cret"
"""What stands for everything that an example leaves for the reader to choose."""

Manifest = dict[str, Any]


def env_file(path: Path) -> dict[str, str]:
    """Names and values of a file of variables."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def _checking_program(name: str) -> Path:
    try:
        return asyncio.run(program(name, CHECKS))
    except GoMissing as missing:
        pytest.skip(f"{name} is built with Go: {missing}")


def _ran(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _rendered(overlay: str) -> str:
    kubectl = shutil.which("kubectl")
    command = [kubectl, "kustomize"] if kubectl else [_checking_program("kustomize")]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "k8s"
        shutil.copytree(K8S, copy)
        for example in (copy / "overlays" / overlay).glob("secrets/*.env.example"):
            chosen = {name: value or SECRET for name, value in env_file(example).items()}
            example.with_suffix("").write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
        return _ran(*command, copy / "overlays" / overlay)


def rendered(overlay: str) -> list[Manifest]:
    """All objects of an overlay, its secrets filled in. By kubectl, or by kustomize built with Go."""
    return list(yaml.load_all(_rendered(overlay), yaml.CSafeLoader))


@functools.cache
def _composed() -> str:
    chosen = {name: value or SECRET for name, value in env_file(COMPOSE_EXAMPLE).items()}
    return _ran(_checking_program("compose"), COMPOSE, environment={"PATH": os.environ["PATH"], **chosen})


def composed() -> Manifest:
    """The project as compose's own loader understands it."""
    return json.loads(_composed())


def compose_without_loader() -> Manifest:
    """The same, read as YAML with variables filled in, where the values matter and Go may be missing."""
    chosen = {name: value or SECRET for name, value in env_file(COMPOSE_EXAMPLE).items()}
    text = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: chosen[found.group(1)], COMPOSE.read_text())
    return yaml.safe_load(text)


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod templates by the name of what makes them."""
    found = of_kind(manifests, "Deployment", "StatefulSet")
    return {manifest["metadata"]["name"]: manifest["spec"]["template"] for manifest in found}


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """One object; config maps and secrets by their name without the digest."""
    (found,) = [
        manifest
        for manifest in of_kind(manifests, kind)
        if re.fullmatch(rf"{re.escape(name)}(-[a-z0-9]{{10}})?", manifest["metadata"]["name"])
    ]
    return found
