"""Routing at the edge of a production installation, made from the routing table: each call goes to its owner directly.

The embedded stack needs none of it; there the public port forwards (`forwarding.py`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from flightlog_rpc.methods import METHODS
from flightlog_rpc.routing import OWNERS

PUBLIC = "execution"
"""The service that answers for the whole installation: health, and reflection, which lists what all serve."""
MAX_MATCHES = 8
"""Matches in one rule of a GRPCRoute that every Gateway API version takes."""

_STREAMING: Mapping[str, tuple[str, ...]] = {
    "grpc.health.v1.Health": ("Check", "Watch"),
    "grpc.reflection.v1.ServerReflection": ("ServerReflectionInfo",),
    "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo",),
}
"""gRPC's own services: like our own methods that answer by a stream, they may say nothing for hours."""

_HTTP = """
    access_log off;
    server_tokens off;
    # Metadata as gRPC has it: names with underscores, values of up to the servers' 64 KiB.
    underscores_in_headers on;
    large_client_header_buffers 8 64k;
    # Clients ping while nothing happens; connections that break on idling or after so many calls cost them retries.
    keepalive_timeout 1h;
    keepalive_requests 1000000;
    http2_max_concurrent_streams 1024;
    # A message of the services' 64 MiB with its frame; they say themselves what is too large.
    client_max_body_size 65m;
    client_body_timeout 60s;
    grpc_buffer_size 64k;
    grpc_connect_timeout 5s;
    grpc_send_timeout 60s;
    # No call takes this long, but those that wait in line at a start.
    grpc_read_timeout 300s;
    grpc_socket_keepalive on;
    grpc_set_header x-forwarded-for $proxy_add_x_forwarded_for;
    grpc_set_header flightlog-forwarded-user-agent $http_user_agent;
    default_type application/grpc;
"""


def nginx_conf(upstreams: Mapping[str, str], *, listen: str = "8089", health: str = "8088") -> str:
    """The whole configuration of an nginx, 1.19.10 or newer, that is the edge.

    Relative paths in it are below nginx's prefix (`-p`), where it must be able to write.

    Args:
        upstreams: service -> `host:port`. Methods of services that are not named get UNIMPLEMENTED from the edge.
        listen: address or port of gRPC without TLS.
        health: address or port where `GET /healthz` says that the edge itself runs.
    """
    lines = [
        "worker_processes auto;",
        "worker_shutdown_timeout 60s;",
        "error_log stderr warn;",
        "pid nginx.pid;",
        "events {",
        "    worker_connections 8192;",
        "}",
        "http {",
    ]
    lines += [f"    {kind}_temp_path {kind}_temp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    lines += _HTTP.strip("\n").splitlines()
    for service in sorted(upstreams):
        lines += ["", f"    upstream flightlog_{service} {{", f"        server {upstreams[service]};"]
        lines += ["        keepalive 64;", "    }"]
    lines += ["", "    server {", f"        listen {listen} http2;"]
    # Nobody tells a gRPC client anything by a page of HTML.
    lines += ["        error_page 502 503 504 = @unavailable;", "        error_page 413 = @too_large;", ""]
    for service in sorted(upstreams):
        for grpc_service, methods in _grouped(service, streaming=True).items():
            lines += _location(service, grpc_service, methods, _FOR_STREAMS)
        for grpc_service, methods in _grouped(service, streaming=False).items():
            lines += _location(service, grpc_service, methods, ())
        if service == PUBLIC:
            for grpc_service, methods in _STREAMING.items():
                lines += _location(service, grpc_service, methods, _FOR_STREAMS)
    lines += _saying("/", 12, "no service of this installation serves the method")
    lines += _saying("@unavailable", 14, "the $owner service is not reachable, or does not answer")
    lines += _saying("@too_large", 8, "the request is larger than the 64 MiB that a message may have")
    lines += ["    }", "", "    server {", f"        listen {health};"]
    lines += [
        "        location = /healthz {",
        "            default_type text/plain;",
        '            return 200 "ok\\n";',
    ]
    lines += ["        }", "        location / {", "            return 404;", "        }", "    }", "}", ""]
    return "\n".join(lines)


_FOR_STREAMS = (
    "grpc_read_timeout 24h;",
    "grpc_send_timeout 24h;",
    "client_body_timeout 24h;",
    "client_max_body_size 0;",
)


def _location(service: str, grpc_service: str, methods: Iterable[str], settings: Iterable[str]) -> list[str]:
    path = grpc_service.replace(".", r"\.")
    return [
        f"        location ~ ^/{path}/({'|'.join(methods)})$ {{",
        *(f"            {setting}" for setting in settings),
        f"            set $owner {service};",
        f"            grpc_pass grpc://flightlog_{service};",
        "        }",
    ]


def _saying(location: str, code: int, text: str) -> list[str]:
    """An answer of the edge's own, in gRPC's form: a status alone."""
    return [
        f"        location {location} {{",
        f"            add_header grpc-status {code};",
        f'            add_header grpc-message "{text}";',
        "            return 200;",
        "        }",
    ]


def grpc_routes(backends: Mapping[str, tuple[str, int]], *, gateway: str, namespace: str) -> str:
    """GRPCRoute resources (Gateway API v1) as YAML, one for each service of ours.

    Args:
        backends: service -> Kubernetes Service and port.
        gateway: name of the Gateway they attach to.
        namespace: where routes, Gateway and Services live.
    """
    documents = [
        _route(service, *backends[service], gateway=gateway, namespace=namespace)
        for service in sorted(backends)
        if _matches(service)
    ]
    return "---\n".join(documents)


def _route(service: str, backend: str, port: int, *, gateway: str, namespace: str) -> str:
    lines = [
        "apiVersion: gateway.networking.k8s.io/v1",
        "kind: GRPCRoute",
        "metadata:",
        f"  name: flightlog-{service}",
        f"  namespace: {namespace}",
        "spec:",
        "  parentRefs:",
        f"    - name: {gateway}",
        "  rules:",
    ]
    for matches in _chunks(_matches(service)):
        lines.append("    - matches:")
        for grpc_service, method in matches:
            lines += ["        - method:", f"            service: {grpc_service}"]
            if method:
                lines.append(f"            method: {method}")
        lines += ["      backendRefs:", f"        - name: {backend}", f"          port: {port}"]
    return "\n".join(lines) + "\n"


def _grouped(service: str, *, streaming: bool | None = None) -> dict[str, list[str]]:
    """gRPC service -> names of its methods that `service` owns: all, or those that do or do not answer by a stream."""
    grouped: dict[str, list[str]] = {}
    for method in METHODS.values():
        if OWNERS[method.full_name] == service and streaming in (None, method.server_streaming):
            grouped.setdefault(method.service, []).append(method.name)
    return grouped


def _matches(service: str) -> list[tuple[str, str]]:
    """Matches for a service; where it owns most of a gRPC service, the whole (a more specific match of another
    wins).
    """
    found: list[tuple[str, str]] = []
    for grpc_service, methods in _grouped(service).items():
        owners = Counter(OWNERS[m.full_name] for m in METHODS.values() if m.service == grpc_service)
        if owners.most_common(1)[0][0] == service:
            found.append((grpc_service, ""))
        else:
            found.extend((grpc_service, method) for method in methods)
    if service == PUBLIC:
        found.extend((grpc_service, "") for grpc_service in _STREAMING)
    return found


def _chunks(matches: list[tuple[str, str]]) -> Iterable[list[tuple[str, str]]]:
    return (matches[start : start + MAX_MATCHES] for start in range(0, len(matches), MAX_MATCHES))
