"""Tasks that run as one pod: flytekit's tasks, raw containers, and whatever else comes with a container or a pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.k8s_launcher.kubernetes.objects import POD, Built, Kind, Reading, Seen, Task
from services.k8s_launcher.kubernetes.pods.names import LONGEST_NAME
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.kubernetes.pods.status import read_pod


@dataclass(frozen=True)
class PodPlugin:
    """Makes pods of tasks, and says what their status means."""

    identifier: str
    kind: Kind = POD
    longest_name: int = LONGEST_NAME

    def build(self, task: Task) -> Built:
        """The pod. Raises `NotLaunchable`."""
        return build_pod(task)

    def read(self, seen: Seen) -> Reading:
        """What the pod's status means."""
        return read_pod(seen)


CONTAINERS: Final = PodPlugin("container")
"""Of all types that no other plugin is for."""
SIDECARS: Final = PodPlugin("sidecar")
"""Of flytekit's pod tasks; Flyte calls their plugin so."""
