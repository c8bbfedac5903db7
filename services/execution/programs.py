"""Parsed closures kept at hand: a workflow's serves all its executions, a dynamic node's all that happens under it."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from services.execution.engine import Program


class ProgramCache(Mapping[bytes, Program]):
    """Programs by the hashes of their closures, the most recently used ones.

    Args:
        limit: nodes that the programs may have together; the last program is kept however many it has.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._nodes = 0
        self._entries: OrderedDict[bytes, tuple[Program, int]] = OrderedDict()

    def __getitem__(self, digest: bytes) -> Program:
        entry = self._entries[digest]
        self._entries.move_to_end(digest)
        return entry[0]

    def __contains__(self, digest: object) -> bool:
        return digest in self._entries

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, digest: bytes, program: Program) -> None:
        """Adds a program, and lets go of the longest unused ones when there are too many nodes."""
        if digest in self._entries:
            return
        nodes = sum(len(workflow.nodes) for workflow in (program.primary, *program.sub_workflows.values()))
        self._entries[digest] = (program, nodes)
        self._nodes += nodes
        while self._nodes > self._limit and len(self._entries) > 1:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._nodes -= dropped
