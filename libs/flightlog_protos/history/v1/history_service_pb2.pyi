from flightlog_protos.history.v1 import archive_pb2 as _archive_pb2
from flightlog_protos.history.v1 import audit_pb2 as _audit_pb2
from flightlog_protos.history.v1 import deletion_pb2 as _deletion_pb2
from flightlog_protos.history.v1 import differences_pb2 as _differences_pb2
from flightlog_protos.history.v1 import events_pb2 as _events_pb2
from flightlog_protos.history.v1 import explanation_pb2 as _explanation_pb2
from flightlog_protos.history.v1 import export_pb2 as _export_pb2
from flightlog_protos.history.v1 import state_pb2 as _state_pb2
from flightlog_protos.history.v1 import verification_pb2 as _verification_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
