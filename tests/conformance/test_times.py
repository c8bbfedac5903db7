"""What holds for every execution, whatever it is about: the order in which things are seen to happen.

Comes last by its name: it looks at all executions that the other tests have left behind.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from tests.conformance.client import Backend
from tests.conformance.runs import Node, Run, ended
from tests.conformance.values import moment

FINAL_NODE = {"SUCCEEDED", "FAILED", "ABORTED", "SKIPPED", "TIMED_OUT", "RECOVERED"}
FINAL_TASK = {"SUCCEEDED", "FAILED", "ABORTED"}


def test_everything_happens_in_order(backend: Backend) -> None:
    """Parents before children, attempts one after another, nothing before its execution began or after it ended."""
    over = [run for run in backend.runs if run.phase in ("SUCCEEDED", "FAILED", "ABORTED")]
    with ThreadPoolExecutor(4) as pool:
        wrong = [text for texts in pool.map(contradictions, over) for text in texts]
    assert not wrong, "\n".join(wrong)


def contradictions(run: Run) -> list[str]:
    # Flyte takes the times of attempts from Kubernetes, to the second.
    slack = 1.5 if run.backend.is_flyte else 0.001
    began, end = moment(run.closure.started_at), ended(run.closure)
    wrong = [f"{run.name} ended before it began"] if end < began else []
    for node in run.nodes.values():
        wrong += [f"{run.name} {node.id}: {text}" for text in of_node(node, began, end, slack)]
        for child in run.children(node.id).values() if node.metadata.is_parent_node else ():
            if moment(child.closure.created_at) < moment(node.closure.started_at) - slack:
                wrong.append(f"{run.name}: {child.id} was queued before {node.id} ran")
    return wrong


def of_node(node: Node, began: float, end: float, slack: float) -> list[str]:
    closure, tasks = node.closure, node.tasks
    queued, started = moment(closure.created_at), moment(closure.started_at)
    checks = {
        f"is {node.phase} when all is over": node.phase in FINAL_NODE,
        "was queued before the execution began": queued >= began - slack,
        "ran before it was queued": not started or started >= queued - slack,
        "ended after the execution": not started or ended(closure) <= end + slack,
        "has attempts with gaps": [task.attempt for task in tasks] == list(range(len(tasks))),
        "has attempts that are not over": all(task.phase in FINAL_TASK for task in tasks),
        "has an attempt before it was queued": all(moment(task.closure.created_at) >= queued - slack for task in tasks),
        "has an attempt before the last one was over": all(
            moment(after.closure.created_at) >= moment(before.closure.updated_at) - slack
            for before, after in pairwise(tasks)
        ),
        "ended well after an attempt that did not": not tasks
        or node.phase != "SUCCEEDED"
        or tasks[-1].phase == "SUCCEEDED",
    }
    return [text for text, holds in checks.items() if not holds]
