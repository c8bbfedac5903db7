"""Refusals in the recorded words."""

from collections.abc import Callable

import pytest
from flyteidl.admin import common_pb2, task_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2

from flightlog_types import InvalidArgument, require_project_id, validate_labels, validate_resources, validation

TASK, WORKFLOW = identifier_pb2.TASK, identifier_pb2.WORKFLOW


def task_id(**changes: object) -> identifier_pb2.Identifier:
    parts = {"resource_type": TASK, "project": "p", "domain": "d", "name": "n", "version": "v"} | changes
    return identifier_pb2.Identifier(**parts)


def refusal(check: Callable[[], object]) -> str:
    with pytest.raises(InvalidArgument) as caught:
        check()
    assert caught.value.grpc_code == "INVALID_ARGUMENT"
    return caught.value.message


@pytest.mark.parametrize("part", ["project", "domain", "name", "version"])
def test_an_identifier_needs_all_its_parts(part: str) -> None:
    assert refusal(lambda: validation.require_identifier(task_id(**{part: ""}), TASK)) == f"missing {part}"


def test_an_identifier_needs_the_right_type() -> None:
    message = refusal(lambda: validation.require_identifier(task_id(resource_type=WORKFLOW), TASK))
    assert message == (
        'unexpected resource type workflow for identifier [resource_type:WORKFLOW  project:"p"  domain:"d"  name:"n"  '
        'version:"v"], expected task instead'
    )


def test_an_absent_identifier_is_missing() -> None:
    request = task_pb2.TaskCreateRequest()
    assert refusal(lambda: validation.require_identifier(validation.present(request, "id"), TASK)) == "missing id"
    request.id.CopyFrom(task_id())
    assert validation.require_identifier(validation.present(request, "id"), TASK) == task_id()


def test_any_name_and_version_will_do() -> None:
    validation.require_identifier(task_id(name="Ü.ber-x y/z", version="=_-."), TASK)


def test_execution_names() -> None:
    validation.require_execution_name("a-1-")
    pattern = r"'^[a-z][a-z\-0-9]*$'"
    assert refusal(lambda: validation.require_execution_name("bad_name")) == (
        f"invalid name format: bad_name, does not match regex {pattern}"
    )
    assert refusal(lambda: validation.require_execution_name("1abc")).startswith("invalid name format: 1abc,")
    assert refusal(lambda: validation.require_execution_name("a\n")).startswith("invalid name format")
    assert refusal(lambda: validation.require_execution_name("a" * 64)) == (
        f"size of name exceeded length 63 : {'a' * 64}"
    )


def test_execution_identifiers() -> None:
    node = identifier_pb2.NodeExecutionIdentifier(node_id="n0")
    assert refusal(lambda: validation.require_node_execution_id(node)) == "missing execution_id"
    node.execution_id.project = "p"
    assert refusal(lambda: validation.require_node_execution_id(node)) == "missing domain"
    attempt = identifier_pb2.TaskExecutionIdentifier()
    assert refusal(lambda: validation.require_task_execution_id(attempt)) == "missing node_execution_id"
    assert refusal(lambda: validation.require_execution_id(None)) == "missing id"


def test_a_page_has_rows() -> None:
    validation.require_limit(1)
    assert refusal(lambda: validation.require_limit(0)) == "invalid value for limit"


def test_labels() -> None:
    validate_labels({"a": "", "example.com/My.Name_1-x": "v_1.2-x"})
    assert refusal(lambda: validate_labels({str(n): "x" for n in range(17)})) == "labels map cannot exceed 16 entries"
    assert refusal(lambda: validate_labels({"bad key!": "x"})) == (
        "invalid label key [bad key!]: [name part must consist of alphanumeric characters, '-', '_' or '.', and must "
        "start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
        "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')]"
    )
    for bad in ({"": "x"}, {"/a": "x"}, {"a/b/c": "x"}, {"A/b": "x"}, {"a" * 64: "x"}, {"a": "-"}, {"a": "x" * 64}):
        assert refusal(lambda bad=bad: validate_labels(bad)).startswith("invalid label ")


def test_project_ids() -> None:
    require_project_id("a-1")
    assert refusal(lambda: require_project_id("Bad Id")) == (
        "invalid project id [Bad Id]: [a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
        "or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
        "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')]"
    )
    too_long = "x" * 65
    assert refusal(lambda: require_project_id(too_long)) == (
        f"invalid project id [{too_long}]: [must be no more than 63 characters]"
    )
    assert refusal(lambda: require_project_id("a.b")) == "invalid project id [a.b]: [must not contain dots]"


def resources(requests: list[tuple[str, str]], limits: list[tuple[str, str]]) -> tasks_pb2.Resources:
    def entries(pairs: list[tuple[str, str]]) -> list[tasks_pb2.Resources.ResourceEntry]:
        return [tasks_pb2.Resources.ResourceEntry(name=name, value=value) for name, value in pairs]

    return tasks_pb2.Resources(requests=entries(requests), limits=entries(limits))


def test_a_request_above_its_own_limit_is_refused_as_recorded() -> None:
    asked = resources([("CPU", "2")], [("CPU", "1")])
    assert refusal(lambda: validate_resources(task_id(), asked, {})) == (
        "Requested CPU default [2] is greater than the limit [1]. Please fix your configuration"
    )


def test_resources_stay_within_the_platform() -> None:
    platform = {tasks_pb2.Resources.MEMORY: "1Gi", tasks_pb2.Resources.GPU: "1"}
    validate_resources(task_id(), resources([("MEMORY", "1024Mi"), ("CPU", "64")], []), platform)
    above = resources([("MEMORY", "2000Mi")], [])
    assert "is greater than current limit set in the platform configuration [1Gi]" in refusal(
        lambda: validate_resources(task_id(), above, platform)
    )
    limit_above = resources([("MEMORY", "1Mi")], [("MEMORY", "2Gi")])
    assert refusal(lambda: validate_resources(task_id(), limit_above, platform)).startswith(
        "Requested MEMORY limit [2Gi]"
    )
    gpus = resources([("GPU", "2")], [("GPU", "2")])
    assert refusal(lambda: validate_resources(task_id(), gpus, platform)).startswith("Requested GPU default [2]")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (resources([("GPU", "1")], [("GPU", "2")]), "must equal the limit value"),
        (resources([("GPU", "500m")], []), "must be a whole number, got: 500m instead"),
        (resources([("CPU", "1"), ("CPU", "1")], []), "multiple times"),
        (resources([("MEMORY", "1 Gi")], []), "Parsing of MEMORY request failed for value 1 Gi"),
    ],
)
def test_resources_that_cannot_be_granted(asked: tasks_pb2.Resources, words: str) -> None:
    assert words in refusal(lambda: validate_resources(task_id(), asked, {}))


def parameter(**behavior: object) -> interface_pb2.Parameter:
    variable = interface_pb2.Variable(type=types_pb2.LiteralType(simple=types_pb2.INTEGER))
    return interface_pb2.Parameter(var=variable, **behavior)


def test_declared_inputs() -> None:
    def check(**parameters: interface_pb2.Parameter) -> None:
        validation.validate_parameter_map(interface_pb2.ParameterMap(parameters=parameters), "default_inputs")

    number = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=1)))
    text = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value="1")))
    check(a=parameter(required=True), b=parameter(default=number))
    assert "neither default, nor is required" in refusal(lambda: check(a=parameter(required=False)))
    assert "has a missing Type" in refusal(lambda: check(a=interface_pb2.Parameter(required=True)))
    assert "Type mismatch for Parameter a in default_inputs" in refusal(lambda: check(a=parameter(default=text)))
    assert "cannot be determined" in refusal(lambda: check(a=parameter(default=literals_pb2.Literal())))


def test_given_inputs() -> None:
    def check(name: str, literal: literals_pb2.Literal) -> None:
        validation.validate_literal_map(literals_pb2.LiteralMap(literals={name: literal}), "fixed_inputs")

    late = literals_pb2.Literal()
    late.scalar.primitive.datetime.seconds = 2**50
    assert refusal(lambda: check("a", literals_pb2.Literal())) == "missing valid literal in fixed_inputs a"
    assert refusal(lambda: check("", late)) == "missing key in fixed_inputs"
    assert "out of range" in refusal(lambda: check("a", late))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"phases": [4]}, "invalid value for notification type"),
        ({"phases": [4], "slack": {}}, "missing recipients"),
        ({"phases": [4], "email": {"recipients_email": ["a", ""]}}, "missing recipient"),
        ({"phases": [2], "pager_duty": {"recipients_email": ["a"]}}, "invalid value for phase"),
    ],
)
def test_notifications_have_recipients_and_terminal_phases(bad: dict[str, object], message: str) -> None:
    to = {"recipients_email": ["a@b.c"]}
    good = [common_pb2.Notification(phases=[4, 6], email=to), common_pb2.Notification(slack=to)]  # type: ignore[arg-type]
    validation.validate_notifications(good)
    notification = common_pb2.Notification(**bad)  # type: ignore[arg-type]
    assert refusal(lambda: validation.validate_notifications([*good, notification])) == message
