"""The gRPC shell of the services: routing table, server, error mapping, forwarding, health, reflection."""

from flightlog_rpc import as_of, coverage, edge
from flightlog_rpc.answering import Implementation
from flightlog_rpc.context import CallContext
from flightlog_rpc.errors import (
    RpcError,
    already_exists,
    failed_precondition,
    internal,
    invalid,
    invalid_value,
    missing,
    missing_entity,
    not_found,
    out_of_range,
    resource_exhausted,
    unavailable,
    unimplemented,
)
from flightlog_rpc.methods import METHODS, Method
from flightlog_rpc.routing import OWNERS, SERVED
from flightlog_rpc.server import RpcServer
from flightlog_rpc.settings import RpcSettings
from flightlog_rpc.streaming import StreamImplementation

__all__ = [
    "METHODS",
    "OWNERS",
    "SERVED",
    "CallContext",
    "Implementation",
    "Method",
    "RpcError",
    "RpcServer",
    "RpcSettings",
    "StreamImplementation",
    "already_exists",
    "as_of",
    "coverage",
    "edge",
    "failed_precondition",
    "internal",
    "invalid",
    "invalid_value",
    "missing",
    "missing_entity",
    "not_found",
    "out_of_range",
    "resource_exhausted",
    "unavailable",
    "unimplemented",
]
