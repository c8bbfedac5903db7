"""Generate `libs/flightlog_protos` from `protos/`.

The flyteidl wheel carries no `.proto` files. Their descriptors are in its `_pb2` modules, so a descriptor set is
written from those and given to protoc in the place of the sources.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import flyteidl
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
TARGET = ROOT / "libs" / "flightlog_protos"
PACKAGE = "flightlog_protos"


def flyteidl_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Every file that flyteidl describes, dependencies first."""
    found = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        file.CopyToProto(found.file.add())

    for module in pkgutil.walk_packages(flyteidl.__path__, "flyteidl."):
        if module.name.endswith("_pb2"):
            add(importlib.import_module(module.name).DESCRIPTOR)
    return found


def main() -> int:
    files = sorted(path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        known = Path(scratch) / "flyteidl.bin"
        known.write_bytes(flyteidl_descriptors().SerializeToString())
        raw = Path(scratch) / "out"
        raw.mkdir()
        arguments = [
            "protoc",
            f"--proto_path={SOURCES}",
            f"--descriptor_set_in={known}",
            f"--python_out={raw}",
            f"--pyi_out={raw}",
            *files,
        ]
        if status := protoc.main(arguments):
            return status
        made = raw / "flightlog"
        for directory in [made, *(path for path in made.rglob("*") if path.is_dir())]:
            (directory / "__init__.py").write_text("")
        for path in [*made.rglob("*.py"), *made.rglob("*.pyi")]:
            path.write_text(path.read_text().replace("from flightlog.", f"from {PACKAGE}."))
        _replace(made)
    return 0


def _replace(made: Path) -> None:
    """Makes the target equal to what was made. Files that are the same stay: whoever imports them sees no gap."""
    wanted = {path.relative_to(made): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    for relative, data in wanted.items():
        target = TARGET / relative
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    for path in TARGET.rglob("*.py*"):
        if path.suffix in (".py", ".pyi") and path.relative_to(TARGET) not in wanted:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
