"""Containers of a pod, as its status tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.times import moment

OOM_KILLED: Final = "OOMKilled"

# How a process ends that was killed: by the node, and by some container runtimes' own count.
_KILLED: Final = frozenset({137, 247})


@dataclass(frozen=True, slots=True)
class Terminated:
    """How a container ended."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def code(self) -> str:
        """What an error is called that it is told of by; runtimes may leave the reason out."""
        return self.reason or "Error"

    @property
    def out_of_memory(self) -> bool:
        return OOM_KILLED in self.reason

    @property
    def killed(self) -> bool:
        """By SIGKILL, and not for want of memory."""
        return self.exit_code in _KILLED and not self.out_of_memory

    def told_of(self, name: str) -> str:
        """The end in a line of an error's message (k8s-contract §2.4)."""
        return (
            f"\r\n[{name}] terminated with exit code ({self.exit_code}). Reason [{self.reason}]. "
            f"Message: \n{self.message}."
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container: it waits, runs or has ended."""

    name: str
    ready: bool
    waiting: Waiting | None
    running: bool
    running_since: datetime | None
    terminated: Terminated | None
    terminated_before: Terminated | None
    """How it ended before it was started again."""

    @property
    def succeeded(self) -> bool:
        return self.terminated is not None and self.terminated.exit_code == 0

    @property
    def last_end(self) -> Terminated | None:
        """How it ended last; an end before it was started again says more than the one after."""
        return self.terminated_before or self.terminated


def init_containers(pod: Object) -> list[ContainerState]:
    """Those that come before the task's, and sidecars that Kubernetes counts among them."""
    return list(_listed(pod, "initContainerStatuses"))


def regular_containers(pod: Object) -> list[ContainerState]:
    """Those of the task and those beside it."""
    return list(_listed(pod, "containerStatuses"))


def all_containers(pod: Object) -> list[ContainerState]:
    """Init, regular and ephemeral ones, in that order."""
    return [*init_containers(pod), *regular_containers(pod), *_listed(pod, "ephemeralContainerStatuses")]


def latest_change(pod: Object) -> datetime | None:
    """When a container last began or ended; None when none has."""
    moments = [
        at
        for container in (*regular_containers(pod), *init_containers(pod))
        if (at := container.terminated.finished_at if container.terminated else container.running_since) is not None
    ]
    return max(moments, default=None)


def _listed(pod: Object, field: str) -> Iterator[ContainerState]:
    for status in pod.get("status", {}).get(field) or ():
        state: dict[str, Any] = status.get("state") or {}
        running, waiting = state.get("running"), state.get("waiting")
        yield ContainerState(
            name=status["name"],
            ready=status.get("ready", False),
            waiting=Waiting(waiting.get("reason", ""), waiting.get("message", "")) if waiting is not None else None,
            running=running is not None,
            running_since=moment(running.get("startedAt")) if running is not None else None,
            terminated=_terminated(state),
            terminated_before=_terminated(status.get("lastState") or {}),
        )


def _terminated(state: dict[str, Any]) -> Terminated | None:
    ended = state.get("terminated")
    if ended is None:
        return None
    return Terminated(
        exit_code=ended.get("exitCode", 0),
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        started_at=moment(ended.get("startedAt")),
        finished_at=moment(ended.get("finishedAt")),
    )
