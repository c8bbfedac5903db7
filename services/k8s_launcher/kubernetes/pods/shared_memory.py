"""Memory that the processes of a task share, mounted into its main container (k8s-contract §1.12)."""

from __future__ import annotations

from flyteidl.core import tasks_pb2

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.refusal import bad_specification


def mount_shared_memory(spec: Object, primary: str, asked: tasks_pb2.SharedMemory) -> None:
    """Give the main container its shared memory. Changes `spec`.

    Raises `NotLaunchable`, when no name or path is said, one of them is taken, or the size is no quantity.
    """
    name, path = asked.mount_name, asked.mount_path
    if not name or not path:
        raise bad_specification(f"shared memory needs a {'mount name' if not name else 'mount path'}")
    container = next((each for each in spec["containers"] if each["name"] == primary), None)
    if container is None:
        raise bad_specification(f"shared memory is for the container {primary!r}, which the pod does not have")
    volumes: list[Object] = spec.get("volumes") or []
    mounts: list[Object] = container.get("volumeMounts") or []
    if any(volume.get("name") == name for volume in volumes):
        raise bad_specification(f"shared memory: the pod has a volume {name!r} already")
    if any(mount.get("name") == name for mount in mounts):
        raise bad_specification(f"shared memory: the container {primary!r} mounts {name!r} already")
    if any(mount.get("mountPath") == path for mount in mounts):
        raise bad_specification(f"shared memory: something is mounted at {path!r} in container {primary!r} already")
    # No size is written as nothing, and the node decides.
    size = _size(asked.size_limit) if asked.size_limit else "0"
    spec["volumes"] = [*volumes, {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}]
    container["volumeMounts"] = [*mounts, {"name": name, "mountPath": path}]


def _size(text: str) -> str:
    try:
        return quantities.canonical(text)
    except quantities.BadQuantity as error:
        raise bad_specification(f"size of shared memory {text!r}: {error}") from None
