"""The edges of one workflow, and whether everything in it can run (admin-contract §3.3)."""

from collections import defaultdict
from collections.abc import Iterable

from flyteidl.core import compiler_pb2

from flightlog_compiler import errors
from flightlog_compiler.errors import Problems
from flightlog_compiler.shaping import END_NODE, START_NODE


class Graph:
    """Who runs after whom."""

    def __init__(self) -> None:
        self._downstream: defaultdict[str, set[str]] = defaultdict(set)
        self._upstream: defaultdict[str, set[str]] = defaultdict(set)
        # What must end before a branch can, because an arm of it waits for it.
        self._awaited: defaultdict[str, set[str]] = defaultdict(set)

    def connect(self, producer: str, consumer: str) -> None:
        """The consumer runs after the producer."""
        self._downstream[producer].add(consumer)
        self._upstream[consumer].add(producer)

    def note_upstream(self, producer: str, consumer: str, branch: str = "") -> None:
        """The consumer, a node inside a branch or the failure node, reads from the producer; no edge of the walk."""
        self._upstream[consumer].add(producer)
        if branch:
            self._awaited[producer].add(branch)

    def close(self, nodes: Iterable[str]) -> None:
        """Start the nodes that wait for nothing, and end only after those that nothing waits for."""
        for node in nodes:
            if node not in self._upstream:
                self.connect(START_NODE, node)
            if node not in self._downstream:
                self.connect(node, END_NODE)

    def connections(self) -> compiler_pb2.ConnectionSet:
        """The edges as clients read them; ids sorted."""
        found = compiler_pb2.ConnectionSet()
        for node in sorted(self._downstream):
            found.downstream[node].ids.extend(sorted(self._downstream[node]))
        for node in sorted(self._upstream):
            found.upstream[node].ids.extend(sorted(self._upstream[node]))
        return found

    def check(self, nodes: Iterable[str], problems: Problems) -> None:
        """Report the first cycle that the start leads into or, when there is none, the nodes it never leads to."""
        done: set[str] = set()
        path = {START_NODE: iter(self._following(START_NODE))}
        while path:
            node, successors = next(reversed(path.items()))
            for successor in successors:
                if successor in path:
                    problems.add(errors.cycle(START_NODE, [*path, successor]))
                    return
                if successor not in done:
                    path[successor] = iter(self._following(successor))
                    break
            else:
                done.add(node)
                del path[node]
        if lost := set(nodes) - done - {END_NODE}:
            problems.add(errors.unreachable(START_NODE, lost))

    def _following(self, node: str) -> list[str]:
        return sorted(self._downstream.get(node, set()) | self._awaited.get(node, set()))
