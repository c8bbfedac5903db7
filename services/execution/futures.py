"""What a dynamic task left: the nodes it asked for, and what these refer to (engine-semantics §5.1)."""

import asyncio
import hashlib
from collections.abc import Sequence

from flyteidl.core.compiler_pb2 import CompiledTask
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.identifier_pb2 import Identifier
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobMissing, BlobStore, BlobTooLarge
from flightlog_compiler import EntityKey, LaunchPlanInterface, dynamic_requirements
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine import Futures
from services.execution.lookup import Lookup


async def load_futures(blobs: BlobStore, lookup: Lookup, uri: str, limit: int) -> Futures | None:
    """Reads futures.pb, and looks up what it refers to; None when there is no such object.

    Args:
        limit: largest object that is read, in bytes.
    """
    try:
        data = await blobs.get(uri, limit=limit)
    except BlobMissing:
        return None
    except BlobTooLarge:
        return Futures(DataRef(uri=uri), None, too_large=True)
    ref = DataRef(uri=uri, sha256=hashlib.sha256(data).digest(), size_bytes=len(data))
    try:
        spec = DynamicJobSpec.FromString(data)
    except DecodeError:
        return Futures(ref, None)
    needed = dynamic_requirements(spec)
    tasks, launch_plans = await asyncio.gather(
        _tasks(lookup, needed.task_ids), _launch_plans(lookup, needed.launch_plan_ids)
    )
    return Futures(ref, spec, tasks=tasks, launch_plans=launch_plans)


async def _tasks(lookup: Lookup, identifiers: Sequence[Identifier]) -> dict[EntityKey, CompiledTask]:
    """Those that are registered; compiling names the others."""
    found = await asyncio.gather(*map(lookup.compiled_task, identifiers))
    pairs = zip(identifiers, found, strict=True)
    return {EntityKey.of(identifier): task for identifier, task in pairs if task is not None}


async def _launch_plans(lookup: Lookup, identifiers: Sequence[Identifier]) -> dict[EntityKey, LaunchPlanInterface]:
    found = await asyncio.gather(*map(lookup.launch_plan_interface, identifiers))
    pairs = zip(identifiers, found, strict=True)
    return {EntityKey.of(identifier): launch_plan for identifier, launch_plan in pairs if launch_plan is not None}
