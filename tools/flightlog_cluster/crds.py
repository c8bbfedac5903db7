"""Definitions of the objects that operators act on, as the operators' own releases have them.

They come from Go modules and a Python package, by the ordinary clients of both, once per machine: only the definitions
are kept, without the descriptions of their fields, which are most of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flightlog_cluster.build import GoMissing, cache, find_go


class DefinitionsMissing(Exception):
    """They are not on this machine, and could not be brought here; the message says why."""


@dataclass(frozen=True)
class Release:
    """A release of an operator, and where in it the definitions are."""

    name: str
    version: str
    files: tuple[str, ...]
    is_go: bool = True

    @property
    def folder(self) -> Path:
        """Where the definitions are kept."""
        return cache() / "crds" / f"{self.name.replace('/', '+')}@{self.version}"


RELEASES = (
    Release("github.com/ray-project/kuberay/ray-operator", "v1.5.1", ("config/crd/bases/ray.io_rayjobs.yaml",)),
    Release(
        "github.com/kubeflow/training-operator",
        "v1.9.0",
        tuple(f"manifests/base/crds/kubeflow.org_{kind}.yaml" for kind in ("pytorchjobs", "tfjobs", "mpijobs")),
    ),
    Release(
        "github.com/kubeflow/spark-operator/v2",
        "v2.4.0",
        ("config/crd/bases/sparkoperator.k8s.io_sparkapplications.yaml",),
    ),
    Release("volcano.sh/volcano", "v1.10.0", ("config/crd/volcano/bases/scheduling.volcano.sh_podgroups.yaml",)),
    Release(
        "dask-kubernetes",
        "2026.3.0",
        ("dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds/daskjob.yaml",),
        is_go=False,
    ),
)


async def definitions(releases: Iterable[Release] = RELEASES) -> list[dict[str, Any]]:
    """CustomResourceDefinitions of these releases. Raises `DefinitionsMissing`."""
    found: list[dict[str, Any]] = []
    for release in releases:
        if not release.folder.exists():
            await _bring(release)
        found += [json.loads(path.read_text()) for path in sorted(release.folder.glob("*.json"))]
    return found


async def _bring(release: Release) -> None:
    # What a release has besides is not kept.
    with tempfile.TemporaryDirectory(prefix="flightlog-crds-") as scratch:
        root = await (_go_module if release.is_go else _python_package)(release, Path(scratch))
        await asyncio.to_thread(_keep, release, root)


def _keep(release: Release, root: Path) -> None:
    release.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=release.folder.parent) as partial:
        for file in release.files:
            with (root / file).open() as text:
                definition = yaml.load(text, yaml.CSafeLoader)
            path = Path(partial) / f"{definition['metadata']['name']}.json"
            path.write_text(json.dumps(_undescribed(definition)))
        kept = Path(partial) / "kept"
        kept.mkdir()
        for path in Path(partial).glob("*.json"):
            path.rename(kept / path.name)
        if not release.folder.exists():
            kept.rename(release.folder)


async def _go_module(release: Release, scratch: Path) -> Path:
    try:
        go = find_go()
    except GoMissing as missing:
        raise DefinitionsMissing(str(missing)) from missing
    environment = {**os.environ, "GOMODCACHE": str(scratch / "modules"), "GOFLAGS": "-modcacherw"}
    command = (go, "mod", "download", "-json", f"{release.name}@{release.version}")
    answer = json.loads(await _output(command, release, scratch, environment))
    return Path(answer["Dir"])


async def _python_package(release: Release, scratch: Path) -> Path:
    target = scratch / "package"
    command = (
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(target)),
        f"{release.name}=={release.version}",
    )
    await _output(command, release, scratch, dict(os.environ))
    return target


async def _output(command: tuple[str, ...], release: Release, folder: Path, environment: dict[str, str]) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode != 0:
        said = (errors or output).decode(errors="replace").strip()[-500:]
        raise DefinitionsMissing(f"{release.name} {release.version} could not be downloaded: {said}")
    return output


def _undescribed(node: Any) -> Any:
    """Without descriptions. A field that is called so is described by an object, and stays."""
    if isinstance(node, dict):
        return {
            name: _undescribed(value)
            for name, value in node.items()
            if not (name == "description" and isinstance(value, str))
        }
    if isinstance(node, list):
        return [_undescribed(item) for item in node]
    return node
