"""nginx with the edge's configuration, upstreams and ports its only difference from deploy/k8s; and owners of methods
that say what reached them."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import grpc
import grpc.aio

from flightlog_cli.generate import NGINX

OWNERS = ("catalog", "execution", "registry", "scheduler", "history")
OWNER_KEY = "owner"
LARGE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]

Answer = Callable[[str, bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """The edge in front of `upstreams` (service -> `host:port`). It runs from `start` until `stop`."""

    def __init__(
        self, program: str, folder: Path, upstreams: Mapping[str, str], changes: Mapping[str, str] | None = None
    ) -> None:
        self._program = program
        self._folder = folder
        self.port, self._health = free_port(), free_port()
        text = NGINX.read_text()
        places = {f"server {service}:8089;": f"server {place};" for service, place in upstreams.items()}
        places["listen 8089 "] = f"listen 127.0.0.1:{self.port} "
        places["listen 8088;"] = f"listen 127.0.0.1:{self._health};"
        for former, new in (places | dict(changes or {})).items():
            assert former in text, former
            text = text.replace(former, new)
        (folder / "nginx.conf").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [self._program, "-p", f"{self._folder}/", "-c", f"{self._folder}/nginx.conf", "-e", "stderr"]
        with (self._folder / "nginx.log").open("wb") as log:
            self.process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=log)
        while not self.healthy():
            assert self.process.poll() is None, (self._folder / "nginx.log").read_text()

    def healthy(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._health}/healthz", timeout=10) as answer:
                return answer.read() == b"ok\n"
        except OSError:
            return False

    def ask_to_stop(self) -> None:
        """As the container is: calls that are under way are finished first."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


class _Anything(grpc.GenericRpcHandler):
    """Answers each method, whatever it is called."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method

        async def handle(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return await self._answer(method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)


@asynccontextmanager
async def owner(answer: Answer, port: int = 0, **options: int) -> AsyncIterator[str]:
    """A gRPC server that gives every call to `answer`; its address."""
    server = grpc.aio.server(options=[*LARGE, ("grpc.max_metadata_size", 64 * 1024), *options.items()])
    server.add_generic_rpc_handlers((_Anything(answer),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    assert bound
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)


def saying(name: str) -> Answer:
    """Answers with the request, and the name of the service in the metadata."""

    async def answer(_method: str, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_trailing_metadata(((OWNER_KEY, name),))
        return request

    return answer


def methods_in(text: str) -> set[str]:
    """All methods that a configuration of nginx names."""
    found = re.findall(r"location ~ \^/(\S+)/\((\S+)\)\$ \{", text)
    return {f"/{service.replace(chr(92), '')}/{name}" for service, names in found for name in names.split("|")}


async def reachable(channel: grpc.aio.Channel) -> None:
    await asyncio.wait_for(channel.channel_ready(), 30)
