"""Which connector runs tasks of a type."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.admin import agent_pb2
from pydantic import ValidationError

from services.k8s_launcher.connectors.pauses import between_looks, between_tries
from services.k8s_launcher.connectors.served import NotServed, Served, Types
from services.k8s_launcher.connectors.settings import ConnectorSettings


def _settings(**more: Any) -> ConnectorSettings:
    endpoints = {"one": {"endpoint": "one:8000"}, "two": {"endpoint": "two:8000"}}
    return ConnectorSettings.model_validate({"default": {"endpoint": "d:8000"}, "endpoints": endpoints, **more})


def _agent(*categories: tuple[str, int], is_sync: bool = False) -> agent_pb2.Agent:
    listed = [agent_pb2.TaskCategory(name=name, version=version) for name, version in categories]
    return agent_pb2.Agent(name="a", is_sync=is_sync, supported_task_categories=listed)


def test_all_versions_that_are_listed_count() -> None:
    types = Types(_settings())
    types.heard("one", [_agent(("query", 0), ("query", 1)), _agent(("prompt", 0), is_sync=True)])
    assert types.find("query", 0) == types.find("query", 1) == Served("one")
    assert types.find("prompt", 0) == Served("one", is_sync=True)
    with pytest.raises(NotServed, match="in version 0, 1, and this is version 2"):
        types.find("query", 2)
    assert types.connector("query") == "one"


def test_of_connectors_that_list_a_type_the_first_runs_it_and_the_default_one_is_the_last() -> None:
    types = Types(_settings())
    types.heard("default", [_agent(("query", 0), ("mine", 0))])
    assert types.connector("query") == "default"
    types.heard("two", [_agent(("query", 0))])
    types.heard("one", [_agent(("query", 0))])
    assert types.connector("query") == "one"
    assert types.connector("mine") == "default"


def test_what_the_operator_says_goes_before_what_connectors_list() -> None:
    types = Types(_settings(connector_for_task_types={"query": "two"}))
    assert types.named("query") == types.connector("query") == "two"
    assert types.find("query", 3) == Served("two")
    types.heard("one", [_agent(("query", 0))])
    types.heard("two", [_agent(("query", 3), is_sync=True)])
    assert types.find("query", 3) == Served("two", is_sync=True)
    assert types.find("query", 0) == Served("two")


def test_types_of_the_default_connector_that_nobody_lists() -> None:
    types = Types(_settings(supported_task_types=["query"]))
    assert types.find("query", 5) == Served("default")
    types.heard("one", [_agent(("query", 0))])
    assert types.find("query", 0) == Served("one")
    assert types.find("query", 5) == Served("default")


def test_a_type_that_nobody_serves() -> None:
    types = Types(_settings())
    assert (types.connector("query"), types.named("query")) == ("", "")
    with pytest.raises(NotServed, match="no connector runs tasks of type 'query'"):
        types.find("query", 0)


def test_an_answer_takes_the_place_of_the_one_before_and_is_known_to_be_new() -> None:
    types = Types(_settings())
    assert not types.has_heard("one")
    assert types.has_heard("one-that-is-not-set")
    assert types.heard("one", [_agent(("query", 0))])
    assert not types.heard("one", [_agent(("query", 0))])
    assert types.has_heard("one")
    assert types.heard("one", [_agent(("other", 1))])
    assert types.connector("query") == ""
    assert types.listed("one") == ["other v1"]


def test_connectors_from_before_categories_list_types() -> None:
    types = Types(_settings())
    types.heard("one", [agent_pb2.Agent(supported_task_types=["query"], is_sync=True)])
    assert types.find("query", 0) == Served("one", is_sync=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"connector_for_task_types": {"query": "three"}}, "not set: three"),
        ({"endpoints": {"default": {"endpoint": "x:1"}}}, "the setting `default`"),
        ({"default": None, "supported_task_types": ["query"]}, "needs the default connector"),
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        _settings(**given)


def test_time_for_an_answer() -> None:
    endpoint = _settings(endpoints={"one": {"endpoint": "x:1", "timeouts": {"CreateTask": 90}}}).endpoints["one"]
    assert endpoint.timeout("CreateTask") == 90
    assert (endpoint.timeout("GetTask"), endpoint.timeout("ExecuteTaskSync")) == (10, 60)


def test_looks_become_rarer_with_the_age_of_a_task() -> None:
    settings = _settings()
    assert [between_looks(age, settings) for age in (0, 2, 40, 3600)] == [1.0, 1.0, 10.0, 30.0]


def test_tries_become_rarer_and_never_stop() -> None:
    assert [between_tries(tries) for tries in (0, 1, 3, 10**6)] == [0.2, 0.4, 1.6, 15.0]
