"""Which runtime an order goes to."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from flyteidl.admin import agent_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.connectors.served import Types
from services.k8s_launcher.connectors.settings import ConnectorSettings
from services.k8s_launcher.dispatching import CONTAINER_TYPES, goes_to_connectors
from services.k8s_launcher.kubernetes.dispatch import operator_types


def _types(**more: object) -> Types:
    types = Types(ConnectorSettings.model_validate({"endpoints": {"one": {"endpoint": "one:1"}}, **more}))
    listed = [agent_pb2.TaskCategory(name=name) for name in ("query", "spark", "python-task")]
    types.heard("one", [agent_pb2.Agent(supported_task_categories=listed)])
    return types


@pytest.mark.parametrize(
    ("task_type", "own", "expected"),
    [
        ("query", CONTAINER_TYPES, True),
        # Where nothing else runs the type, the connector does.
        ("spark", CONTAINER_TYPES, True),
        ("spark", {*CONTAINER_TYPES, *operator_types()}, False),
        ("python-task", CONTAINER_TYPES, False),
        ("unheard-of", CONTAINER_TYPES, False),
    ],
)
def test_what_the_launcher_runs_itself_goes_before_what_is_listed(
    task_type: str, own: Collection[str], expected: bool
) -> None:
    assert goes_to_connectors(AttemptScheduled(task_type=task_type), _types(), own) is expected


@pytest.mark.parametrize("task_type", ["spark", "python-task", "unheard-of"])
def test_what_the_operator_says_goes_before_both(task_type: str) -> None:
    types = _types(connector_for_task_types={task_type: "one"})
    own = {*CONTAINER_TYPES, *operator_types()}
    assert goes_to_connectors(AttemptScheduled(task_type=task_type), types, own)
