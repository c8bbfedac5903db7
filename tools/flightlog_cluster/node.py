"""A real node: containerd and a kubelet on this machine, for pods in real containers. Needs root.

Pods have addresses of their own (CNI plugin ptp) and reach this machine under `HOST_ADDRESS`, which it has as long as
the node exists; servers that pods are to use listen there.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flightlog_cli.embedded.child import Child, Program
from flightlog_cluster.build import BuildFailed, program
from flightlog_cluster.cluster import Cluster
from flightlog_cluster.task_image import PAUSE_IMAGE

HOST_ADDRESS = "10.89.255.1"
_POD_ADDRESSES = "10.89.0.0/24"
_PLUGINS = Path("/usr/lib/cni")
_NEEDED = ("containerd", "runc", "ctr", "debootstrap", "ip")


@dataclass(frozen=True)
class Node:
    """A running node."""

    name: str
    folder: Path
    kubelet: Child
    containerd: Child

    async def lose_power(self) -> None:
        """End the kubelet and every container at once, as a power cut would."""
        await self.kubelet.kill()
        await _kill_containers(self.folder)

    async def come_back(self) -> None:
        """Start the kubelet again, on what it left on disk."""
        await self.kubelet.restart()


def missing() -> str:
    """What this machine lacks for a node, in words; empty when it lacks nothing."""
    if os.geteuid() != 0:
        return "a real node needs root"
    absent = [name for name in _NEEDED if shutil.which(name) is None]
    if not (_PLUGINS / "ptp").exists():
        absent.append("containernetworking-plugins")
    return f"a real node needs {', '.join(absent)} (Debian packages of these names)" if absent else ""


@asynccontextmanager
async def run_node(folder: Path, cluster: Cluster, name: str, archives: Sequence[Path]) -> AsyncGenerator[Node]:
    """Run containerd with the images of the archives, and a kubelet that joins the cluster; both end on leaving.

    Call it within `host_address`. Raises `BuildFailed`, `StackError`.
    """
    kubelet = await program("kubelet")
    runtime = Child(_containerd(folder))
    node = Child(_kubelet(kubelet, folder, cluster, name))
    try:
        await runtime.start()
        for archive in archives:
            await _ctr(folder, "images", "import", str(archive))
        await node.start()
        yield Node(name, folder, node, runtime)
    finally:
        await node.stop()
        await _kill_containers(folder)
        await runtime.stop()
        for mount in _mounts(folder):
            await _run("umount", "--lazy", mount, accepted=(0, 32))


@asynccontextmanager
async def host_address() -> AsyncGenerator[str]:
    """`HOST_ADDRESS`, under which pods and servers of this machine find one another."""
    # On the loopback interface, because it is there on every machine; pods come to it by their route to the host.
    await _run("ip", "address", "replace", f"{HOST_ADDRESS}/32", "dev", "lo")
    try:
        yield HOST_ADDRESS
    finally:
        await _run("ip", "address", "delete", f"{HOST_ADDRESS}/32", "dev", "lo")


def _containerd(folder: Path) -> Program:
    network = folder / "cni"
    network.mkdir(parents=True, exist_ok=True)
    (network / "10-flightlog.conflist").write_text(
        json.dumps(
            {
                "cniVersion": "0.4.0",
                "name": "flightlog",
                "plugins": [
                    {
                        "type": "ptp",
                        "ipam": {
                            "type": "host-local",
                            "dataDir": str(folder / "addresses"),
                            "ranges": [[{"subnet": _POD_ADDRESSES}]],
                            "routes": [{"dst": "0.0.0.0/0"}],
                        },
                    }
                ],
            }
        )
    )
    configuration = folder / "containerd.toml"
    configuration.write_text(
        f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_PLUGINS}"
    conf_dir = "{network}"
"""
    )

    async def ready(_pid: int) -> bool:
        try:
            await _ctr(folder, "version")
        except BuildFailed:
            return False
        return True

    command = [shutil.which("containerd") or "containerd", "--config", str(configuration), "--log-level", "warn"]
    return Program("containerd", command, folder / "containerd.log", ready)


def _kubelet(binary: Path, folder: Path, cluster: Cluster, name: str) -> Program:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    configuration = folder / "kubelet.json"
    settings: Mapping[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failSwapOn": False,
        "healthzPort": port,
        # The images come from no registry: one that is removed to save room never comes back.
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "2s",
        "podLogsDir": str(folder / "pod-logs"),
        "port": 0,
        "readOnlyPort": 0,
        "resolvConf": "",
        "syncFrequency": "5s",
        "volumePluginDir": str(folder / "volume-plugins"),
    }
    configuration.write_text(json.dumps(settings))
    command = [
        *(str(binary), f"--config={configuration}", f"--kubeconfig={cluster.kubeconfig}"),
        *(f"--root-dir={folder / 'kubelet'}", f"--cert-dir={folder / 'pki'}"),
        *(f"--hostname-override={name}", f"--node-ip={HOST_ADDRESS}"),
    ]

    async def ready(_pid: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.readline(), 2.0)
            writer.close()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in answer

    return Program("kubelet", command, folder / "kubelet.log", ready, start_seconds=60.0)


async def _kill_containers(folder: Path) -> None:
    """kill -9 of every container of the node, and of what watches over it."""
    await _run("pkill", "-9", "-f", f"containerd-shim-runc-v2 .*{folder}", accepted=(0, 1))
    for line in (await _ctr(folder, "tasks", "list", accepted=(0, 1))).splitlines()[1:]:
        await _run("kill", "-9", line.split()[1], accepted=(0, 1))


def _mounts(folder: Path) -> list[str]:
    """What is mounted in a folder, the innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True)


async def _ctr(folder: Path, *arguments: str, accepted: Sequence[int] = (0,)) -> str:
    return await _run(
        "ctr", "--address", f"{folder}/containerd.sock", "--namespace", "k8s.io", *arguments, accepted=accepted
    )


async def _run(*command: str, accepted: Sequence[int] = (0,)) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode(errors="replace")
    if process.returncode not in accepted:
        raise BuildFailed(f"{' '.join(command)} ended with {process.returncode}:\n{output[-4000:]}")
    return output
