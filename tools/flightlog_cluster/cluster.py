"""Starts the parts of a control plane on a folder, and stops them again.

etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok, each of which may be killed and restarted. Nodes
with the annotation `kwok.x-k8s.io/node: fake` are kwok's: pods that the scheduler puts there run, and end when the API
says so. Pods that are to be played by hand belong on no node, or on one without it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flightlog_cli.embedded.child import Child, Program
from flightlog_cluster.build import program
from flightlog_cluster.certificates import write_certificates

_HOST = "127.0.0.1"
_SERVICE_ADDRESSES = "10.96.0.0/16"
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "taint-eviction-controller",
)
# A server that lives for minutes has memory for what it will not need again: to look for it, as often as Go would, is a
# third of the API server's work, beyond the limit it looks as often as it must.
_ENVIRONMENT = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
_ADMINISTRATOR = "admin"
_TOKENS = {
    _ADMINISTRATOR: ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", "system:masters"),
    "scheduler": ("system:kube-scheduler", "system:masters"),
    "kwok": ("kwok", "system:masters"),
}


@dataclass(frozen=True)
class Cluster:
    """A running control plane."""

    url: str
    kubeconfig: Path
    """Of its administrator."""
    ca_file: Path
    token: str
    """Of its administrator."""
    folder: Path
    children: Mapping[str, Child]
    """By name: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kwok`."""

    async def kill(self, part: str) -> None:
        """kill -9 a part and wait until it is gone."""
        await self.children[part].kill()

    async def restart(self, part: str) -> None:
        """Start a part again and wait until it serves."""
        await self.children[part].restart()


@asynccontextmanager
async def run_cluster(
    folder: Path,
    *,
    address: str = _HOST,
    kwok_stages: Sequence[Mapping[str, Any]] = (),
    with_kwok: bool = True,
    apiserver_flags: Sequence[str] = (),
    controller_flags: Sequence[str] = (),
) -> AsyncGenerator[Cluster]:
    """Run a control plane on a folder, which keeps its state; stop it on leaving.

    `address` is where the API serves. `kwok_stages` go before kwok's own. Raises `BuildFailed`, `StackError`.
    """
    binary = await program()
    write_certificates(folder, tuple({_HOST, "10.96.0.1", address}))
    tokens = _tokens(folder)
    client, peer, api = _free_ports(3)
    url = f"https://{address}:{api}"
    configs = {who: _kubeconfig(folder, who, url, token) for who, token in tokens.items()}
    programs = [
        _etcd(binary, folder, client, peer),
        _apiserver(binary, folder, client, address, api, apiserver_flags),
        _controllers(binary, folder, configs["controllers"], controller_flags),
        _scheduler(binary, folder, configs["scheduler"]),
    ]
    if with_kwok:
        programs.append(_kwok(binary, folder, configs["kwok"], kwok_stages))
    children = {part.name: Child(part) for part in programs}
    try:
        await children["etcd"].start()
        await children["kube-apiserver"].start()
        for name in list(children)[2:]:
            await children[name].start()
        yield Cluster(url, configs[_ADMINISTRATOR], folder / "ca.crt", tokens[_ADMINISTRATOR], folder, children)
    finally:
        for child in reversed(children.values()):
            await child.stop()


def _etcd(binary: Path, folder: Path, client: int, peer: int) -> Program:
    serving, peers = f"http://{_HOST}:{client}", f"http://{_HOST}:{peer}"
    command = [
        *(binary, "etcd", "--name=etcd", f"--data-dir={folder / 'etcd'}"),
        *(f"--listen-client-urls={serving}", f"--advertise-client-urls={serving}"),
        *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=etcd={peers}"),
        # A throw-away cluster outlives its processes, not its machine.
        *("--unsafe-no-fsync", "--log-level=warn"),
    ]

    async def ready(_pid: int) -> bool:
        return await _listens(client)

    return Program("etcd", command, folder / "etcd.log", ready, environment=_ENVIRONMENT, stop_seconds=5.0)


def _apiserver(binary: Path, folder: Path, etcd: int, address: str, port: int, flags: Sequence[str]) -> Program:
    command = [
        *(binary, "kube-apiserver", f"--etcd-servers=http://{_HOST}:{etcd}"),
        *("--bind-address=0.0.0.0" if address != _HOST else f"--bind-address={_HOST}", f"--secure-port={port}"),
        f"--advertise-address={address}" if address != _HOST else "--advertise-address=192.0.2.1",
        *(f"--tls-cert-file={folder / 'server.crt'}", f"--tls-private-key-file={folder / 'server.key'}"),
        *(f"--client-ca-file={folder / 'ca.crt'}", f"--token-auth-file={folder / 'tokens.csv'}"),
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        *("--authorization-mode=Node,RBAC", "--allow-privileged", f"--service-cluster-ip-range={_SERVICE_ADDRESSES}"),
        "--endpoint-reconciler-type=none",
        *flags,
    ]
    authority = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    authority.verify_flags &= ~ssl.VERIFY_X509_STRICT

    async def ready(_pid: int) -> bool:
        return await _answers_ok(authority, port, "/readyz")

    log = folder / "kube-apiserver.log"
    return Program("kube-apiserver", command, log, ready, environment=_ENVIRONMENT, start_seconds=120.0)


def _controllers(binary: Path, folder: Path, kubeconfig: Path, flags: Sequence[str]) -> Program:
    command = [
        *(binary, "kube-controller-manager", f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
        f"--controllers={','.join(_CONTROLLERS)}",
        *(f"--service-account-private-key-file={folder / 'accounts.key'}", f"--root-ca-file={folder / 'ca.crt'}"),
        *("--kube-api-qps=500", "--kube-api-burst=1000", "--secure-port=0"),
        *("--concurrent-gc-syncs=5", "--concurrent-resource-quota-syncs=5"),
        *flags,
    ]
    return _client(folder, "kube-controller-manager", command)


def _scheduler(binary: Path, folder: Path, kubeconfig: Path) -> Program:
    configuration = folder / "scheduler.json"
    configuration.write_text(
        json.dumps(
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "leaderElection": {"leaderElect": False},
                "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 1000, "burst": 2000},
                "podInitialBackoffSeconds": 1,
                "podMaxBackoffSeconds": 2,
            }
        )
    )
    command = [binary, "kube-scheduler", f"--config={configuration}", "--secure-port=0"]
    return _client(folder, "kube-scheduler", command)


def _kwok(binary: Path, folder: Path, kubeconfig: Path, stages: Sequence[Mapping[str, Any]]) -> Program:
    command: list[str | Path] = [
        *(binary, "kwok", f"--kubeconfig={kubeconfig}", "--manage-all-nodes=false"),
        *("--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--node-lease-duration-seconds=40"),
    ]
    if stages:
        configuration = folder / "kwok.json"
        # YAML documents, each of them JSON.
        configuration.write_text("\n---\n".join(json.dumps(stage) for stage in stages))
        command.append(f"--config={configuration}")
    return _client(folder, "kwok", command)


def _client(folder: Path, name: str, command: Sequence[str | Path]) -> Program:
    return Program(name, command, folder / f"{name}.log", _is_started, environment=_ENVIRONMENT)


async def _is_started(_pid: int) -> bool:
    return True


def _tokens(folder: Path) -> dict[str, str]:
    file = folder / "tokens.json"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(json.dumps({who: secrets.token_hex(16) for who in _TOKENS}))
    tokens: dict[str, str] = json.loads(file.read_text())
    lines = [f'{tokens[who]},{user},{user},"{group}"' for who, (user, group) in _TOKENS.items()]
    (folder / "tokens.csv").write_text("\n".join(lines))
    return tokens


def _kubeconfig(folder: Path, who: str, url: str, token: str) -> Path:
    path = folder / f"{who}.kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": who}}],
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(folder / "ca.crt")}}],
        "users": [{"name": who, "user": {"token": token}}],
    }
    path.write_text(json.dumps(content))
    return path


def _free_ports(count: int) -> list[int]:
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind((_HOST, 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def _answers_ok(authority: ssl.SSLContext, port: int, path: str) -> bool:
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(_HOST, port, ssl=authority)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status
