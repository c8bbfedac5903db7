"""A graph of lineage as trees: what an artifact was made from, and what was made of it."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from flightlog_cli.lineage.naming import Names
from flightlog_protos.catalog.v1.lineage_service_pb2 import LineageGraph

_PASSING = frozenset({"started", "cached", "recovered"})
_SHOWN = 100
"""Characters of a value."""


def trees(graph: LineageGraph) -> list[Tree]:
    """One tree for each artifact that was asked for. What was told before is not told again."""
    teller = _Teller(graph)
    return [teller.tree(artifact) for artifact in graph.artifacts if artifact.asked]


class _Teller:
    def __init__(self, graph: LineageGraph) -> None:
        self._names = Names(graph)
        self._many = len(self._names.executions) > 1
        self._artifacts = {artifact.id: artifact for artifact in graph.artifacts}
        self._steps = {step.id: step for step in graph.steps}
        self._into: dict[str, list[LineageGraph.Edge]] = {}
        self._out: dict[str, list[LineageGraph.Edge]] = {}
        for edge in graph.edges:
            self._into.setdefault(edge.to, []).append(edge)
            self._out.setdefault(getattr(edge, "from"), []).append(edge)
        self._told_backward: set[tuple[str, str]] = set()
        self._told_forward: set[tuple[str, str]] = set()

    def tree(self, artifact: LineageGraph.Artifact) -> Tree:
        tree = Tree(self._artifact(artifact))
        made = self._into.get(artifact.id, [])
        if made:
            branch = tree.add(Text("made by", style="dim"))
            self._backward(branch, artifact.id)
        used = self._out.get(artifact.id, [])
        if used:
            branch = tree.add(Text("used by", style="dim"))
            self._forward(branch, artifact.id)
        return tree

    def _backward(self, tree: Tree, artifact: str) -> None:
        left = [(tree, artifact)]
        while left:
            branch, box = left.pop()
            for edge in self._into.get(box, []):
                source = getattr(edge, "from")
                told = (source, edge.variable if self._passes(source) else "")
                again = told in self._told_backward
                self._told_backward.add(told)
                step = branch.add(self._step(self._steps[source], again=again))
                following: list[tuple[Tree, str]] = []
                for taken in [] if again else self._into.get(source, []):
                    value = getattr(taken, "from")
                    if self._passes(source) and not _leads(taken.variable, edge.variable):
                        continue
                    following.append((step.add(self._artifact(self._artifacts[value], taken.variable)), value))
                left.extend(reversed(following))

    def _forward(self, tree: Tree, artifact: str) -> None:
        left = [(tree, artifact)]
        while left:
            branch, box = left.pop()
            following: list[tuple[Tree, str]] = []
            for edge in self._out.get(box, []):
                passes = self._passes(edge.to)
                told = (edge.to, edge.variable if passes else "")
                again = told in self._told_forward
                self._told_forward.add(told)
                step = branch.add(self._step(self._steps[edge.to], edge.variable, again=again))
                given = [] if again else self._out.get(edge.to, [])
                made = [one.to for one in given if not passes or _leads(edge.variable, one.variable)]
                following.extend((step.add(self._artifact(self._artifacts[value])), value) for value in made)
            left.extend(reversed(following))

    def _passes(self, step: str) -> bool:
        """Whether a step only passes values on, each under its name."""
        return self._steps[step].how in _PASSING

    def _artifact(self, artifact: LineageGraph.Artifact, variable: str = "") -> Text:
        text = Text(f"{variable}: " if variable else "")
        text.append(self._placed(artifact.id, self._names.artifact(artifact)), style="bold")
        text.append(f"  {artifact.kind}", style="dim")
        shown = artifact.uri if artifact.uri and artifact.kind in ("file", "folder", "frame") else artifact.shown
        return text.append(f"  {shown[:_SHOWN]}")

    def _step(self, step: LineageGraph.Step, variable: str = "", *, again: bool) -> Text:
        text = Text()
        text.append(
            self._placed(step.id, self._names.step(step)) if step.node.node_id else self._names.step(step), "cyan"
        )
        text.append(f"  {self._names.entity(step)}")
        elements = f", {step.elements} elements" if step.elements else ""
        text.append(f"  {step.how}, {step.phase.lower()}{elements}", style="dim")
        if variable:
            text.append(f"  as {variable}", style="dim")
        return text.append("  (see above)", style="dim") if again else text

    def _placed(self, box: str, name: str) -> str:
        return f"{self._names.execution_of(box)}/{name}" if self._many else name


def _leads(taken: str, made: str) -> bool:
    """Whether what a passing step takes as `rows[1] <- [2].path` is of what it gives as `rows`."""
    name = taken.partition(" <- ")[0]
    return name == made or name.startswith((f"{made}[", f"{made}."))
