"""`make docs`: the files made from the routing table, so that they cannot say something else than the code.

docs/api-coverage.md    every method, its owner, whether it is served
deploy/k8s/components/edge-nginx/nginx.conf
                        the edge of docker-compose and Kubernetes: each method straight to its owner
deploy/k8s/components/edge-gateway/grpc-routes.yaml
                        the same for a Gateway
"""

import sys
from pathlib import Path

from flightlog_rpc import coverage, edge

ROOT = Path(__file__).resolve().parents[2]
PORT = 8089
NAMESPACE = "flightlog"
SERVING = ("registry", "execution", "catalog", "scheduler", "history")
"""Services with a gRPC port. Their host names are the same in docker-compose.yml and in deploy/k8s."""
NGINX = ROOT / "deploy" / "k8s" / "components" / "edge-nginx" / "nginx.conf"
GRPC_ROUTES = ROOT / "deploy" / "k8s" / "components" / "edge-gateway" / "grpc-routes.yaml"
_MADE = "# Made from libs/flightlog_rpc/routing.py by `make docs`.\n"


def generated() -> dict[Path, str]:
    """Content by path, for every generated file."""
    upstreams = {service: f"{service}:{PORT}" for service in SERVING}
    backends = {service: (service, PORT) for service in SERVING}
    return {
        ROOT / "docs" / "api-coverage.md": coverage.render(),
        NGINX: _MADE + edge.nginx_conf(upstreams, listen=str(PORT)),
        GRPC_ROUTES: _MADE + edge.grpc_routes(backends, gateway="flightlog", namespace=NAMESPACE),
    }


def main() -> int:
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
