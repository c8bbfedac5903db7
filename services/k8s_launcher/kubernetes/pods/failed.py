"""What the status of a pod means that has failed (k8s-contract §2.4)."""

from __future__ import annotations

from typing import Final

from services.k8s_launcher.kubernetes.objects import Object, Reading
from services.k8s_launcher.kubernetes.pods.container_states import OOM_KILLED, Terminated, all_containers, latest_change
from services.k8s_launcher.kubernetes.pods.endings import system_failure, user_failure
from services.k8s_launcher.kubernetes.pods.status_settings import StatusSettings

_UNKNOWN: Final = "UnknownError"
_INTERRUPTED: Final = "Interrupted"
_NO_MESSAGE: Final = "Pod failed. No message received from kubernetes."
# What nodes say that go away.
_NODE_GOES: Final = frozenset({"Shutdown", "Terminated", "NodeShutdown", "NodeAffinity"})
# What nodes say that were given a pod and cannot run it after all, or lost it.
_NODE_FAILS: Final = frozenset({"UnexpectedAdmissionError", "Preempting", "NodeLost", "TopologyAffinityError"})
_OUT_OF: Final = "OutOf"


def read_failed(pod: Object, primary: str | None, settings: StatusSettings) -> Reading:
    """FAILED: whose fault it was follows from the pod's reason and the ends of its containers."""
    status = pod["status"]
    reason: str = status.get("reason") or ""
    code, message = reason or _UNKNOWN, status.get("message") or _NO_MESSAGE
    system = reason in _NODE_GOES or (settings.node_failures_are_system and _is_node_failure(reason))
    own_end: Terminated | None = None
    for container in all_containers(pod):
        ended = container.last_end
        if ended is None:
            continue
        if ended.out_of_memory:
            code = OOM_KILLED
        elif ended.killed:
            code = _INTERRUPTED
            system = system or container.name == primary
        if ended.exit_code == 0:
            message += f"\r\n[{container.name}] terminated with ExitCode 0."
        else:
            message += ended.told_of(container.name)
            own_end = own_end or ended
    at = latest_change(pod)
    if code == _UNKNOWN:
        if not settings.plain_exit_is_user_error or own_end is None:
            system = True
        else:
            code = own_end.code
    return system_failure(_INTERRUPTED, message, at) if system else user_failure(code, message, at)


def _is_node_failure(reason: str) -> bool:
    return reason in _NODE_FAILS or reason.startswith(_OUT_OF)
