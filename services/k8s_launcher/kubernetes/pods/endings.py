"""How readings of failed attempts are made: whose fault it was, and whether another attempt may help.

A failure of kind USER uses up the task's retries, one of kind SYSTEM the system's (k8s-contract §2.8).
"""

from __future__ import annotations

from datetime import datetime

from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import Reading


def user_failure(code: str, message: str, at: datetime | None, *, of_no_use: bool = False) -> Reading:
    """Tried again within the task's own budget."""
    return _failure(ExecutionError.USER, code, message, at, recoverable=True, of_no_use=of_no_use)


def system_failure(code: str, message: str, at: datetime | None, *, of_no_use: bool = False) -> Reading:
    """Tried again within the system's budget."""
    return _failure(ExecutionError.SYSTEM, code, message, at, recoverable=True, of_no_use=of_no_use)


def permanent_failure(code: str, message: str, at: datetime | None, *, of_no_use: bool = False) -> Reading:
    """Never tried again."""
    return _failure(ExecutionError.USER, code, message, at, recoverable=False, of_no_use=of_no_use)


def _failure(
    kind: ExecutionError.ErrorKind,
    code: str,
    message: str,
    at: datetime | None,
    *,
    recoverable: bool,
    of_no_use: bool,
) -> Reading:
    return Reading(
        AttemptObserved.FAILED,
        error=ExecutionError(code=code, message=message, kind=kind),
        recoverable=recoverable,
        occurred_at=at,
        of_no_use=of_no_use,
    )
