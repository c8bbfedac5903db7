"""Container images without a container engine: folders as layers of an OCI image archive.

The archives are what `ctr images import` takes (OCI image layout, image-spec v1). Layers are not compressed: they never
leave this machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1 << 20


def write_layer(archive: Path, contents: Mapping[str, Path]) -> None:
    """Pack folders and files as a layer; keys are their places in the image, without a leading slash.

    Everything belongs to root there. Compiled Python is left out.
    """
    with tarfile.open(archive, "w") as layer:
        for place, source in contents.items():
            layer.add(source, arcname=place, filter=_packed)


def write_image(archive: Path, name: str, layers: Sequence[Path], config: Mapping[str, Any]) -> None:
    """Write an image of layers, lowest first. `config` is that of the OCI specification: Env, Entrypoint, …"""
    with tarfile.open(archive, "w") as image:
        descriptors = [_add_file(image, layer, _LAYER) for layer in layers]
        configuration = {
            "architecture": "amd64",
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [descriptor["digest"] for descriptor in descriptors]},
        }
        described = _add_json(image, configuration, _CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described, "layers": descriptors}
        entry = _add_json(image, manifest, _MANIFEST)
        entry["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        _add(image, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        _add(image, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())


def _packed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if entry.name.endswith((".pyc", "/__pycache__")):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _add_file(image: tarfile.TarFile, file: Path, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    image.add(file, arcname=f"blobs/sha256/{digest.hexdigest()}")
    return {"mediaType": media_type, "digest": f"sha256:{digest.hexdigest()}", "size": file.stat().st_size}


def _add_json(image: tarfile.TarFile, content: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    _add(image, f"blobs/sha256/{digest}", data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _add(image: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    image.addfile(entry, io.BytesIO(data))
