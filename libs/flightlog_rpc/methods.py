"""Every method that is served: the Flyte surface, from flyteidl's descriptors, and our own services beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

from flyteidl.cacheservice import cacheservice_pb2
from flyteidl.datacatalog import datacatalog_pb2
from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2, identity_pb2, signal_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flightlog_protos.catalog.v1 import catalog_service_pb2, lineage_service_pb2
from flightlog_protos.execution.v1 import queue_service_pb2
from flightlog_protos.history.v1 import history_service_pb2
from flightlog_protos.scheduler.v1 import delivery_service_pb2, schedule_service_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: a request, and one answer or (`server_streaming`) many.

    `full_name` is the HTTP/2 path, such as `/flyteidl.service.AdminService/GetTask`.
    """

    full_name: str
    service: str
    name: str
    request: type[Message]
    response: type[Message]
    server_streaming: bool = False


_FILES: tuple[FileDescriptor, ...] = (
    admin_pb2.DESCRIPTOR,
    dataproxy_pb2.DESCRIPTOR,
    signal_pb2.DESCRIPTOR,
    auth_pb2.DESCRIPTOR,
    identity_pb2.DESCRIPTOR,
    datacatalog_pb2.DESCRIPTOR,
    cacheservice_pb2.DESCRIPTOR,
    queue_service_pb2.DESCRIPTOR,
    catalog_service_pb2.DESCRIPTOR,
    lineage_service_pb2.DESCRIPTOR,
    schedule_service_pb2.DESCRIPTOR,
    delivery_service_pb2.DESCRIPTOR,
    history_service_pb2.DESCRIPTOR,
)


def _methods() -> dict[str, Method]:
    found: dict[str, Method] = {}
    for file in _FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                full_name = f"/{service.full_name}/{method.name}"
                found[full_name] = Method(
                    full_name,
                    service.full_name,
                    method.name,
                    GetMessageClass(method.input_type),
                    GetMessageClass(method.output_type),
                    method.server_streaming,
                )
    return found


METHODS: Mapping[str, Method] = _methods()
"""By full name, in the order of the protos. None takes a stream of requests."""
