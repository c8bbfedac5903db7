"""Routing at the edge of a production installation, made from the routing table: each call goes to its owner directly.

The embedded stack needs none of it; there the public port forwards (`forwarding.py`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from flightlog_rpc.methods import METHODS
from flightlog_rpc.routing import OWNERS

MAX_MATCHES = 8
"""Matches in one rule of a GRPCRoute that every Gateway API version takes."""


def nginx_conf(upstreams: Mapping[str, str], *, listen: str = "8089") -> str:
    """A `server` block with its upstreams for nginx's http context.

    Args:
        upstreams: service -> `host:port`. Methods of services that are not named get UNIMPLEMENTED from the edge.
    """
    lines: list[str] = []
    for service in sorted(upstreams):
        lines += [f"upstream flightlog_{service} {{", f"    server {upstreams[service]};", "    keepalive 64;", "}", ""]
    lines += [
        "server {",
        f"    listen {listen};",
        "    http2 on;",
        "    client_max_body_size 64m;",
        "    grpc_read_timeout 300s;",
        "    grpc_buffer_size 64k;",
        "    grpc_set_header x-forwarded-for $proxy_add_x_forwarded_for;",
        "    grpc_set_header flightlog-forwarded-user-agent $http_user_agent;",
        "",
    ]
    for service in sorted(upstreams):
        for grpc_service, methods in _grouped(service).items():
            path = grpc_service.replace(".", r"\.")
            lines += [
                f"    location ~ ^/{path}/({'|'.join(methods)})$ {{",
                f"        grpc_pass grpc://flightlog_{service};",
                "    }",
            ]
    lines += [
        "    location / {",
        "        default_type application/grpc;",
        "        add_header grpc-status 12;",
        '        add_header grpc-message "no service of this installation serves the method";',
        "        return 200;",
        "    }",
        "}",
        "",
    ]
    return "\n".join(lines)


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
        if _grouped(service)
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


def _grouped(service: str) -> dict[str, list[str]]:
    """gRPC service -> names of its methods that `service` owns."""
    grouped: dict[str, list[str]] = {}
    for method in METHODS.values():
        if OWNERS[method.full_name] == service:
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
    return found


def _chunks(matches: list[tuple[str, str]]) -> Iterable[list[tuple[str, str]]]:
    return (matches[start : start + MAX_MATCHES] for start in range(0, len(matches), MAX_MATCHES))
