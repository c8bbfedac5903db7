"""What a request must be before anything is decided."""

from __future__ import annotations

import contextlib

import pytest
from flyteidl.admin import launch_plan_pb2, project_pb2, schedule_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types import InvalidArgument
from services.registry.checks import launch_plans
from services.registry.checks.projects import check_project
from services.registry.checks.schedules import check_cron, check_policy, check_schedule
from services.registry.checks.tasks import check_template
from services.registry.refusals import Refusal

INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)
DATETIME = types_pb2.LiteralType(simple=types_pb2.DATETIME)
ONE = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=1)))
TEXT = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value="s")))
TASK_ID = identifier_pb2.Identifier(project="p", domain="d", name="n", version="v")


def refused_with(check: object, *arguments: object) -> str:
    with pytest.raises((Refusal, InvalidArgument)) as caught:
        check(*arguments)  # type: ignore[operator]
    assert caught.value.grpc_code == "INVALID_ARGUMENT"  # type: ignore[attr-defined]
    return str(caught.value)


def task(**fields: object) -> tasks_pb2.TaskTemplate:
    known: dict[str, object] = {
        "type": "python-task",
        "metadata": tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata(version="1")),
        "interface": interface_pb2.TypedInterface(),
        "container": tasks_pb2.Container(image="i"),
    }
    return tasks_pb2.TaskTemplate(**{name: value for name, value in (known | fields).items() if value is not None})  # type: ignore[arg-type]


def interface(**inputs: types_pb2.LiteralType) -> interface_pb2.TypedInterface:
    return interface_pb2.TypedInterface(
        inputs=interface_pb2.VariableMap(
            variables={name: interface_pb2.Variable(type=literal_type) for name, literal_type in inputs.items()}
        )
    )


def test_a_complete_task_passes() -> None:
    check_template(TASK_ID, task(), {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": ""}, "missing type"),
        ({"metadata": None}, "missing metadata"),
        ({"metadata": tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata())}, "missing runtime version"),
        ({"interface": None}, "missing typed interface"),
        ({"container": tasks_pb2.Container()}, "missing image"),
        ({"container": None, "k8s_pod": tasks_pb2.K8sPod()}, "missing pod_spec"),
    ],
)
def test_a_task_that_lacks_something_is_told_what(change: dict[str, object], message: str) -> None:
    assert refused_with(check_template, TASK_ID, task(**change), {}) == message


def test_a_task_above_the_platform_limit_is_refused() -> None:
    names = tasks_pb2.Resources.ResourceName
    resources = tasks_pb2.Resources(requests=[tasks_pb2.Resources.ResourceEntry(name=names.CPU, value="8")])
    above = task(container=tasks_pb2.Container(image="i", resources=resources))
    assert "greater than current limit" in refused_with(check_template, TASK_ID, above, {names.CPU: "4"})
    check_template(TASK_ID, above, {names.CPU: "8"})


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"requests": {"cpu": "2"}, "limits": {"cpu": 1}}, "is greater than the limit [1]"),
        ({"requests": {"memory": "3Gi"}}, "greater than current limit"),
        ({"requests": {"memory": "much"}}, "Parsing of MEMORY request failed"),
    ],
)
def test_containers_of_a_pod_are_held_to_the_same_limits(resources: dict[str, object], words: str) -> None:
    def pod(**fields: object) -> tasks_pb2.TaskTemplate:
        named = tasks_pb2.K8sPod()
        named.pod_spec.update({"containers": [{"name": "side"}, {"name": "main", **fields}]})
        return task(container=None, k8s_pod=named)

    limits = {tasks_pb2.Resources.ResourceName.MEMORY: "2Gi"}
    assert words in refused_with(check_template, TASK_ID, pod(resources=resources), limits)
    check_template(TASK_ID, pod(resources={"requests": {"cpu": 0.5, "memory": "1Gi"}, "limits": {"cpu": 1}}), limits)
    check_template(TASK_ID, pod(resources={"requests": {"example.com/x": "y"}}), limits)


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "0 0 1 1 0",
        "*/5 1-5,7 ? JAN-mar mon",
        "5/15 * * * 1-5/2",
        "@daily",
        "@every 1h30m",
        "TZ=Europe/Berlin 0 6 * * *",
        "CRON_TZ=UTC @daily",
        " 0 6 * * * ",
        "1,,2 * * * *",
        "*-5 * * * *",
        "hourly",
        "Days",
    ],
)
def test_standard_cron_expressions_pass(expression: str) -> None:
    check_cron(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "not a cron",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "0 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "5-1 * * * *",
        "x * * * *",
        "@often",
        "@every",
        "@every 5",
        "1- * * * *",
        "²  * * * *",
        "@daily ",
        "@every  1h",
        "TZ=Nowhere 0 6 * * *",
        "TZ=../../etc/passwd 0 6 * * *",
    ],
)
def test_other_cron_expressions_are_refused(expression: str) -> None:
    assert refused_with(check_cron, expression).startswith("invalid cron expression")


@given(st.text(max_size=40))
def test_any_text_as_cron_passes_or_is_refused(expression: str) -> None:
    with contextlib.suppress(Refusal):
        check_cron(expression)


def test_a_schedule_needs_every_required_input_bound_but_the_kickoff_time() -> None:
    when = interface_pb2.Parameter(var=interface_pb2.Variable(type=DATETIME), required=True)
    number = interface_pb2.Parameter(var=interface_pb2.Variable(type=INTEGER), required=True)
    hourly = schedule_pb2.Schedule(
        cron_schedule=schedule_pb2.CronSchedule(schedule="@hourly"), kickoff_time_input_arg="when"
    )
    check_schedule(hourly, {"when": when})
    assert "[n] is required" in refused_with(check_schedule, hourly, {"when": when, "n": number})
    assert "is not free or does not exist" in refused_with(check_schedule, hourly, {})
    # A message without an expression is no schedule.
    check_schedule(schedule_pb2.Schedule(), {"n": number})
    refused_with(check_schedule, schedule_pb2.Schedule(cron_expression="nonsense"), {})
    number.required = False
    assert "datetime" in refused_with(check_schedule, hourly, {"when": number})


def test_a_policy_that_cannot_be_is_refused_by_name() -> None:
    check_policy({"flightlog.schedule/overlap": "skip", "somebody.else/overlap": "never"})
    assert "flightlog.schedule/overlap" in refused_with(check_policy, {"flightlog.schedule/overlap": "never"})


def test_expected_inputs_are_the_defaults_and_what_nothing_covers() -> None:
    spec = launch_plan_pb2.LaunchPlanSpec(
        default_inputs=interface_pb2.ParameterMap(
            parameters={"a": interface_pb2.Parameter(var=interface_pb2.Variable(type=INTEGER), default=ONE)}
        ),
        fixed_inputs=literals_pb2.LiteralMap(literals={"b": ONE}),
    )
    expected = launch_plans.expected_inputs(spec, interface(a=INTEGER, b=INTEGER, c=INTEGER)).parameters
    assert set(expected) == {"a", "c"}
    assert expected["a"].default == ONE
    assert expected["c"].required


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"fixed_inputs": {"literals": {"z": ONE}}}, "unexpected fixed_input z"),
        (
            {"fixed_inputs": {"literals": {"a": TEXT}}},
            "invalid fixed_input wrong type a, expected simple:INTEGER, got simple:STRING instead",
        ),
        (
            {"default_inputs": {"parameters": {"z": {"var": {"type": INTEGER}, "required": True}}}},
            "unexpected default_input z",
        ),
        (
            {"default_inputs": {"parameters": {"a": {"var": {"type": DATETIME}, "required": True}}}},
            "invalid default_input wrong type a, expected simple:INTEGER, got simple:DATETIME instead",
        ),
    ],
)
def test_inputs_that_do_not_fit_the_workflow_are_refused(spec: dict[str, object], message: str) -> None:
    given = launch_plan_pb2.LaunchPlanSpec(**spec)  # type: ignore[arg-type]
    assert refused_with(launch_plans.expected_inputs, given, interface(a=INTEGER)) == message


def test_a_parameter_that_is_neither_required_nor_has_a_default_is_refused() -> None:
    workflow_id = identifier_pb2.Identifier(
        resource_type=identifier_pb2.WORKFLOW, project="p", domain="d", name="n", version="v"
    )
    spec = launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow_id)
    launch_plans.check_spec(spec)
    spec.default_inputs.parameters["a"].var.type.CopyFrom(INTEGER)
    spec.default_inputs.parameters["a"].required = False
    refused_with(launch_plans.check_spec, spec)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "", "name": "n"}, "missing project_id"),
        ({"id": "x"}, "missing project_name"),
        ({"id": "x", "name": "n" * 65}, "project_name cannot exceed 64 characters"),
        ({"id": "x", "name": "n", "description": "d" * 301}, "project_description cannot exceed 300 characters"),
        ({"id": "x", "name": "n", "state": 9}, "invalid value for state"),
    ],
)
def test_a_project_that_is_wrong_is_told_why(fields: dict[str, object], message: str) -> None:
    assert refused_with(check_project, project_pb2.Project(**fields)) == message  # type: ignore[arg-type]


def test_a_project_brings_no_domains() -> None:
    given = project_pb2.Project(id="x", name="x", domains=[project_pb2.Domain(id="d")])
    assert "system wide" in refused_with(check_project, given)
