"""Links to logs of an attempt, as they come in one after another (admin-contract §4.11)."""

from collections.abc import Iterable, Sequence

from flyteidl.core.execution_pb2 import TaskLog


def merged(known: Iterable[TaskLog], latest: Sequence[TaskLog]) -> list[TaskLog]:
    """The latest come first; what is known stays, unless one of them has its address or its name.

    An address may change while a task runs: a part of it becomes known, or a window of time ends.
    """
    uris, names = {log.uri for log in latest}, {log.name for log in latest if log.name}
    kept = [log for log in known if log.uri not in uris and log.name not in names]
    return [*latest, *kept]
