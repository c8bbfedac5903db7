"""Generate TypeScript from `protos/`, with all of flyteidl that they need: `generate_typescript.py TARGET`.

Run in a folder where npm has installed `@bufbuild/protoc-gen-es` (`npm ci`); examples/watch-events-typescript is one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from generate_protos import SOURCES, flyteidl_descriptors

PLUGIN = Path("node_modules", ".bin", "protoc-gen-es")
# The runtime has these.
_WELL_KNOWN = "google/protobuf/"


def main(target: Path) -> int:
    if not PLUGIN.exists():
        print(f"{PLUGIN} is missing: run `npm ci` first", file=sys.stderr)
        return 1
    ours = sorted(path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.proto"))
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        known = Path(scratch) / "flyteidl.bin"
        known.write_bytes(flyteidl_descriptors().SerializeToString())
        sources = (f"--proto_path={SOURCES}", f"--descriptor_set_in={known}")
        needed = Path(scratch) / "needed.bin"
        # protoc generates what it is told by name, and not what that imports; so it is asked for the names first.
        status = protoc.main(["protoc", *sources, f"--descriptor_set_out={needed}", "--include_imports", *ours])
        if status:
            return status
        names = [file.name for file in FileDescriptorSet.FromString(needed.read_bytes()).file]
        return protoc.main(
            [
                "protoc",
                *sources,
                f"--plugin=protoc-gen-es={PLUGIN.resolve()}",
                f"--es_out={target}",
                "--es_opt=target=ts,import_extension=js",
                *(name for name in names if not name.startswith(_WELL_KNOWN)),
            ]
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
