"""The services of an embedded stack as programs: one process each, configured through the environment alone.

The same processes run in production; only the values of these settings differ (docs/operations.md).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .child import Program, StackError
from .folder import DataFolder
from .servers import Servers

PUBLIC = "execution"
"""The service whose gRPC port is the public one; it forwards the methods of the others."""
INTERNAL = ("registry", "catalog", "scheduler", "history")
"""Services with a gRPC port of their own, for forwarded methods alone."""
LAUNCHER = "k8s_launcher"
SERVICES = (*INTERNAL, PUBLIC, LAUNCHER)
S3_CLIENT = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
"""What S3 clients need to read parts of objects: rclone answers such a read with the checksum of the whole object."""
_LOOPBACK = "127.0.0.1"
_TASK_ENVIRONMENT = "FLIGHTLOG_LAUNCHER__TASK_ENVIRONMENT"


@dataclass(frozen=True)
class ServicePorts:
    """gRPC ports (by service) and metrics ports (by service) of one stack."""

    grpc: Mapping[str, int]
    metrics: Mapping[str, int]


def service_ports(folder: DataFolder, host: str, port: int) -> ServicePorts:
    """Ports of all services. `port` is the public one; 0 takes the port of the last run, or a free one."""
    public = port or folder.port("grpc", host)
    grpc = {PUBLIC: public} | {name: folder.port(f"{name}.grpc", _LOOPBACK) for name in INTERNAL}
    return ServicePorts(grpc=grpc, metrics={name: folder.port(f"{name}.metrics", _LOOPBACK) for name in SERVICES})


def service_environment(name: str, servers: Servers, ports: ServicePorts, *, host: str, work: Path) -> dict[str, str]:
    """Settings of one service as environment variables."""
    environment = {
        "FLIGHTLOG_LOG__NATS_URL": servers.nats_url,
        "FLIGHTLOG_LOG__USER": servers.nats_user,
        "FLIGHTLOG_LOG__PASSWORD": servers.nats_password,
        "FLIGHTLOG_BLOBS__DRIVER": "directory",
        "FLIGHTLOG_BLOBS__BUCKET": servers.bucket,
        "FLIGHTLOG_BLOBS__ENDPOINT": servers.s3_endpoint,
        "FLIGHTLOG_BLOBS__ACCESS_KEY": servers.s3_access_key,
        "FLIGHTLOG_BLOBS__SECRET_KEY": servers.s3_secret_key,
        "FLIGHTLOG_BLOBS__DIRECTORY": str(servers.object_directory),
        "FLIGHTLOG_TELEMETRY__METRICS_PORT": str(ports.metrics[name]),
    }
    if name in ports.grpc:
        environment["FLIGHTLOG_DATABASE__DSN"] = servers.dsn
        environment["FLIGHTLOG_RPC__HOST"] = host if name == PUBLIC else _LOOPBACK
        environment["FLIGHTLOG_RPC__PORT"] = str(ports.grpc[name])
        if name == PUBLIC:
            forward = {owner: f"{_LOOPBACK}:{ports.grpc[owner]}" for owner in INTERNAL}
            environment["FLIGHTLOG_RPC__FORWARD"] = json.dumps(forward)
    if name == LAUNCHER:
        environment["FLIGHTLOG_PROCESS__DIRECTORY"] = str(work)
        environment["FLIGHTLOG_LAUNCHER__PLATFORM_URL"] = f"{_reachable(host)}:{ports.grpc[PUBLIC]}"
        environment["FLIGHTLOG_LAUNCHER__PLATFORM_INSECURE"] = "true"
        environment[_TASK_ENVIRONMENT] = json.dumps(S3_CLIENT | _given_task_environment())
    return environment


def _reachable(host: str) -> str:
    """The address under which a process of this machine finds what listens on `host`."""
    return {"0.0.0.0": _LOOPBACK, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _given_task_environment() -> dict[str, str]:
    """What whoever starts the stack wants all tasks to have."""
    try:
        return json.loads(os.environ.get(_TASK_ENVIRONMENT, "{}"))
    except ValueError as error:
        raise StackError(f"{_TASK_ENVIRONMENT} must be a JSON object of names and values: {error}") from None


def service_program(name: str, folder: DataFolder, servers: Servers, ports: ServicePorts, *, host: str) -> Program:
    """One service. It serves as soon as it has written its ready file."""
    ready_file = folder.part("run") / f"{name}.ready"
    ready_file.unlink(missing_ok=True)
    work = folder.part("tasks")
    environment = service_environment(name, servers, ports, host=host, work=work)

    async def ready(pid: int) -> bool:
        try:
            return json.loads(ready_file.read_text()).get("pid") == pid
        except (OSError, ValueError):
            return False

    return Program(
        name=name,
        command=f"services.{name}",
        environment={**environment, "FLIGHTLOG_READY_FILE": str(ready_file)},
        log=folder.log(name),
        ready=ready,
        start_seconds=60.0,
        stop_seconds=3.0,
    )
