"""Differences in words, the cache of versions, subjects, and generated names."""

from __future__ import annotations

import contextlib

import pytest
from flyteidl.core import compiler_pb2, identifier_pb2, tasks_pb2
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.registry.v1 import facts_pb2
from services.registry import differences, single_task, subjects
from services.registry.cache import MessageCache
from services.registry.refusals import Refusal


def compiled(image: str, *arguments: str, **environment: str) -> compiler_pb2.CompiledTask:
    container = tasks_pb2.Container(image=image, args=arguments, config=[])
    template = tasks_pb2.TaskTemplate(type="t", container=container, config=environment)
    return compiler_pb2.CompiledTask(template=template)


def test_a_changed_field_is_listed_as_flyte_lists_it() -> None:
    text = differences.listed(compiled("img:1", "x"), compiled("img:2", "x"))
    assert text == "/template/Target/Container/image:\n\t- img:1 \n\t+ img:2"


def test_what_is_only_on_one_side_is_listed_once() -> None:
    text = differences.listed(compiled("i", "a"), compiled("i", "a", "b", key="value"))
    assert text == "/template/Target/Container/args/1:\n\t+ b\n/template/config/key:\n\t+ value"


def test_equal_messages_have_no_differences() -> None:
    assert differences.listed(compiled("i", "a", k="v"), compiled("i", "a", k="v")) == ""


def test_many_differences_are_cut() -> None:
    many = [str(number) for number in range(1000)]
    text = differences.listed(compiled("i"), compiled("i", *many))
    assert text.count("\n\t+ ") == differences.MAX_LINES
    assert text.endswith("…")


def test_the_cache_forgets_the_least_recently_used_when_it_is_full() -> None:
    one = compiled("x" * 100)
    cache: MessageCache[compiler_pb2.CompiledTask] = MessageCache(2 * one.ByteSize())
    cache.put("a", one)
    cache.put("b", one)
    assert cache.get("a") is one
    cache.put("c", one)
    assert cache.get("b") is None
    assert cache.get("a") is one


def test_a_message_larger_than_the_cache_is_not_kept() -> None:
    cache: MessageCache[compiler_pb2.CompiledTask] = MessageCache(10)
    cache.put("a", compiled("x" * 100))
    assert cache.get("a") is None


@given(st.text(max_size=3000))
def test_every_name_has_a_short_enough_subject_or_is_refused(name: str) -> None:
    identifier = identifier_pb2.Identifier(
        resource_type=identifier_pb2.TASK,
        project="p",
        domain="d",
        name=name.encode("utf-8", "replace").decode(),
        version="v",
    )
    with contextlib.suppress(Refusal):
        assert len(str(subjects.version(identifier)).encode()) <= subjects.MAX_SUBJECT_BYTES


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 2001])
def test_names_that_cannot_be_kept_are_refused(name: str) -> None:
    with pytest.raises(Refusal):
        subjects.of("task", name)


def test_the_subjects_other_services_read() -> None:
    """Part of the contract between the services: never change them."""
    identifier = identifier_pb2.Identifier(project="p", domain="d", name="a.b", version="v")
    for resource_type, kind in (
        (identifier_pb2.TASK, "task"),
        (identifier_pb2.WORKFLOW, "workflow"),
        (identifier_pb2.LAUNCH_PLAN, "launch_plan"),
    ):
        identifier.resource_type = resource_type
        assert subjects.version(identifier).parts == (kind, "p", "d", "a.b", "v")
        assert subjects.version(identifier).stream == "REGISTRY"
    assert subjects.project("p").parts == ("project", "p")


def test_generated_names_lead_back_to_their_task() -> None:
    generated = identifier_pb2.Identifier(project="p", domain="d", name=".flytegen.a.b", version="v")
    task_id = single_task.task_id_of(generated)
    assert task_id is not None
    assert (task_id.resource_type, task_id.name, task_id.version) == (identifier_pb2.TASK, "a.b", "v")
    for name in ("a.b", ".flytegen.", ".flytegenx"):
        generated.name = name
        assert single_task.task_id_of(generated) is None


def test_the_generated_launch_plan_requires_every_input() -> None:
    fact = facts_pb2.TaskRegistered(
        id=identifier_pb2.Identifier(resource_type=identifier_pb2.TASK, project="p", domain="d", name="n", version="v")
    )
    fact.compiled_task.template.interface.inputs.variables["a"].type.simple = 1
    plan = single_task.launch_plan_of(fact)
    assert plan.id.name == plan.spec.workflow_id.name == ".flytegen.n"
    assert plan.closure.expected_inputs.parameters["a"].required
    assert plan.spec.default_inputs == plan.closure.expected_inputs
