"""Writes golden files of what other services than the engine put on the log, as it is today; existing files stay.

    python -m tests.unit.protos.golden_messages

A message that gets a new field needs a file of its new version; whatever was written once is read for ever. The
engine's own facts have theirs in tests/unit/engine/golden.
"""

from __future__ import annotations

import json
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flightlog_protos.catalog.v1 import artifacts_pb2, cache_pb2, lineage_pb2
from flightlog_protos.execution.v1 import admission_pb2, requests_pb2
from flightlog_protos.execution.v1 import alarms_pb2 as execution_alarms_pb2
from flightlog_protos.launcher.v1 import observations_pb2
from flightlog_protos.registry.v1 import facts_pb2 as registry_facts_pb2
from flightlog_protos.scheduler.v1 import alarms_pb2 as scheduler_alarms_pb2
from flightlog_protos.scheduler.v1 import backfills_pb2, deliveries_pb2, schedules_pb2
from tests.unit.engine.golden_files import complete, encoded

GOLDEN = Path(__file__).parent / "golden"
_FILES: tuple[FileDescriptor, ...] = (
    registry_facts_pb2.DESCRIPTOR,
    observations_pb2.DESCRIPTOR,
    execution_alarms_pb2.DESCRIPTOR,
    requests_pb2.DESCRIPTOR,
    admission_pb2.DESCRIPTOR,
    cache_pb2.DESCRIPTOR,
    artifacts_pb2.DESCRIPTOR,
    lineage_pb2.DESCRIPTOR,
    schedules_pb2.DESCRIPTOR,
    backfills_pb2.DESCRIPTOR,
    deliveries_pb2.DESCRIPTOR,
    scheduler_alarms_pb2.DESCRIPTOR,
)
MESSAGES: dict[str, type[Message]] = {
    message.full_name: GetMessageClass(message) for file in _FILES for message in file.message_types_by_name.values()
}
"""By full name."""


def versions(full_name: str) -> list[Path]:
    """The golden files of a message, oldest first."""
    name = full_name.removeprefix("flightlog.").replace(".", "-")
    return sorted(GOLDEN.glob(f"{name}.*.json"), key=lambda path: int(path.suffixes[0][1:]))


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for full_name, kind in MESSAGES.items():
        known, entry = versions(full_name), encoded(complete(kind))
        if not known or json.loads(known[-1].read_text()) != entry:
            name = full_name.removeprefix("flightlog.").replace(".", "-")
            (GOLDEN / f"{name}.{len(known) + 1}.json").write_text(json.dumps(entry, indent=1) + "\n")


if __name__ == "__main__":
    main()
