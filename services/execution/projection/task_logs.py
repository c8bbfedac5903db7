"""Links to logs of an attempt, as they come in one after another (admin-contract §4.11)."""

from collections.abc import Sequence

from flyteidl.core.execution_pb2 import TaskLog
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

Logs = RepeatedCompositeFieldContainer[TaskLog]


def merge(into: Logs, latest: Sequence[TaskLog], suffix: str = "") -> None:
    """The latest come first; what is known stays, unless one of them has its address or its name.

    An address may change while a task runs: a part of it becomes known, or a window of time ends.

    Args:
        suffix: what the names of the latest end with from now on.
    """
    kept: list[TaskLog] = []
    if into:
        uris = {log.uri for log in latest}
        names = {name for log in latest if (name := log.name + suffix)}
        kept = [log for log in into if log.uri not in uris and log.name not in names]
        del into[:]
    into.extend(latest)
    if suffix:
        for log in into:
            log.name += suffix
    into.extend(kept)
