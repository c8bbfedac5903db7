"""GetVersion: which release answers."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from flyteidl.admin.version_pb2 import GetVersionRequest, GetVersionResponse, Version

from flightlog_rpc import CallContext

_STARTED = datetime.now(UTC)


def _release() -> str:
    try:
        return f"v{version('flightlog')}"
    except PackageNotFoundError:
        return "unknown"


async def get_version(request: GetVersionRequest, call: CallContext) -> GetVersionResponse:
    """The version with a leading `v`, as flytectl compares it; the build time is the process's start, as with Flyte."""
    return GetVersionResponse(
        control_plane_version=Version(Build="flightlog", Version=_release(), BuildTime=_STARTED.isoformat())
    )
