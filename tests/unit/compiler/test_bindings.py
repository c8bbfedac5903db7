"""What may be bound to a node's inputs."""

import pytest

import flightlog_compiler as compiler
from tests.unit.compiler.templates import Kind, Make

LIST: Kind = {"collectionType": {"simple": "INTEGER"}}
MAP: Kind = {"mapValueType": {"simple": "INTEGER"}}
OPTIONAL: Kind = {"unionType": {"variants": [{"simple": "INTEGER"}, {"simple": "NONE"}]}}
POINT: Kind = {
    "simple": "STRUCT",
    "structure": {"dataclassType": {"x": {"simple": "INTEGER"}, "names": {"collectionType": {"simple": "STRING"}}}},
}


def union(*variants: dict[str, object]) -> Kind:
    return {"unionType": {"variants": list(variants)}}


@pytest.mark.parametrize(
    ("kind", "bind"),
    [
        ("INTEGER", lambda make: make.scalar(1)),
        ("INTEGER", lambda make: make.promise("", "n")),
        ("INTEGER", lambda make: make.promise("start-node", "n")),
        ("INTEGER", lambda make: make.promise("", "numbers", 0)),
        ("INTEGER", lambda make: make.promise("", "[1].numbers")),
        ("INTEGER", lambda make: make.promise("", "table", "k")),
        ("INTEGER", lambda make: make.promise("", "point", "x")),
        ("STRING", lambda make: make.promise("", "point", "names", 0)),
        ("STRING", lambda make: make.promise("", "color")),
        (LIST, lambda make: make.collection(make.scalar(1), make.promise("", "n"))),
        (LIST, lambda make: make.collection()),
        (MAP, lambda make: make.mapping(a=make.promise("", "n"), b=make.scalar(2))),
        (OPTIONAL, lambda make: make.scalar(None)),
        (OPTIONAL, lambda make: make.promise("", "n")),
        (union({"collectionType": {"simple": "INTEGER"}}, {"simple": "STRING"}), lambda make: make.collection()),
        ({"enumType": {"values": ["red", "blue"]}}, lambda make: make.scalar("red")),
        ({"enumType": {"values": ["red", "blue"]}}, lambda make: make.promise("", "text")),
    ],
)
def test_a_fitting_binding_compiles(make: Make, kind: Kind, bind: object) -> None:
    compile_bound(make, kind, bind)


@pytest.mark.parametrize(
    ("kind", "bind", "code"),
    [
        ("INTEGER", lambda make: make.scalar("1"), "MismatchingTypes"),
        ("FLOAT", lambda make: make.scalar(1), "MismatchingTypes"),
        ("INTEGER", lambda make: make.promise("", "text"), "MismatchingTypes"),
        ("INTEGER", lambda make: make.promise("", "point", "names"), "MismatchingTypes"),
        ("INTEGER", lambda make: make.promise("", "[0].n"), "MismatchingTypes"),
        ("INTEGER", lambda make: make.promise("", "[x].numbers"), "SyntaxError"),
        ("INTEGER", lambda make: make.promise("", "point", "z"), "FieldNotFound"),
        ("INTEGER", lambda make: make.promise("", "gone"), "ParameterNotBound VariableNameNotFound"),
        ("INTEGER", lambda make: make.promise("n9", "o0"), "NodeReferenceNotFound ParameterNotBound"),
        ("INTEGER", lambda make: make.promise("end-node", "o0"), "ParameterNotBound VariableNameNotFound"),
        ("INTEGER", lambda make: make.collection(make.scalar(1)), "MismatchingBindings"),
        (LIST, lambda make: make.mapping(a=make.scalar(1)), "MismatchingBindings"),
        ("INTEGER", lambda make: make.mapping(a=make.promise("", "gone")), "MismatchingBindings"),
        ({"enumType": {"values": ["red", "blue"]}}, lambda make: make.scalar(1), "IllegalEnumValue MismatchingTypes"),
        (LIST, lambda make: make.collection(make.scalar("a"), make.scalar(1)), "MismatchingTypes"),
        (MAP, lambda make: make.mapping(a=make.promise("", "text")), "MismatchingTypes"),
        ({"enumType": {"values": ["red", "blue"]}}, lambda make: make.scalar("green"), "IllegalEnumValue"),
        (
            union({"collectionType": {"simple": "INTEGER"}}, {"collectionType": {"simple": "STRING"}}),
            lambda make: make.collection(),
            "AmbiguousBindingUnionValue",
        ),
        (
            union({"simple": "INTEGER"}, {"simple": "STRING"}),
            lambda make: make.collection(make.scalar(1)),
            "IncompatibleBindingUnionValue",
        ),
    ],
)
def test_an_unfitting_binding_is_named(make: Make, kind: Kind, bind: object, code: str) -> None:
    with pytest.raises(compiler.CompileErrors) as caught:
        compile_bound(make, kind, bind)
    assert sorted({error.code for error in caught.value.errors} - {"UnreachableNodes"}) == code.split()


def compile_bound(make: Make, kind: Kind, bind: object) -> None:
    """A workflow of one node whose only input has the given type and binding."""
    taker = make.task("taker", {"a": kind}, {})
    template = make.workflow(
        make.node("n0", "taker", a=bind(make)),  # type: ignore[operator]
        inputs={
            "n": "INTEGER",
            "text": "STRING",
            "numbers": LIST,
            "table": MAP,
            "point": POINT,
            "color": {"enumType": {"values": ["red"]}},
        },
    )
    make.compile(template, tasks=[taker])


def test_an_optional_input_may_stay_unbound(make: Make) -> None:
    taker = make.task("taker", {"a": OPTIONAL}, {})
    make.compile(make.workflow(make.node("n0", "taker")), tasks=[taker])


def test_an_input_is_bound_once(make: Make) -> None:
    node = make.node("n0", x=make.scalar(1))
    node.inputs.extend(make.bindings(x=make.scalar(2)))
    assert make.problems(make.workflow(node)) == [("ParameterBoundMoreThanOnce", "n0")]


def test_a_binding_of_nothing_is_no_binding(make: Make) -> None:
    node = make.node("n0")
    node.inputs.add(var="x")
    assert make.problems(make.workflow(node)) == [("ParameterNotBound", "n0"), ("ValueRequired", "n0")]


def test_a_mismatch_between_nodes_names_both_variables(make: Make) -> None:
    say = make.task("say", {"text": "STRING"}, {})
    template = make.workflow(make.node("n0", x=make.scalar(1)), make.node("n1", "say", text=make.promise("n0", "o0")))
    with pytest.raises(compiler.CompileErrors) as caught:
        make.compile(template, tasks=[say])
    assert caught.value.errors[0].description == (
        "The output variable 'n0.o0' has type [simple:INTEGER], but it's assigned to the input variable 'n1.text' "
        "which has type type [simple:STRING]."
    )


def test_outputs_are_found_under_their_aliases(make: Make) -> None:
    node = make.node("n0", x=make.scalar(1))
    node.output_aliases.add(var="o0", alias="result")
    outputs = {"y": ("INTEGER", make.promise("n0", "result"))}
    make.compile(make.workflow(node, outputs=outputs))
    node.output_aliases.add(var="o0", alias="other")
    assert make.problems(make.workflow(node))[0] == ("DuplicateAlias", "n0")
    node.output_aliases[1].var = "gone"
    assert make.problems(make.workflow(node)) == [("ParameterNotBound", "n0")]


def test_problems_of_one_node_are_not_blamed_on_its_readers(make: Make) -> None:
    template = make.workflow(
        make.node("n0", "unknown"),
        make.node("n1", x=make.promise("n0", "o0")),
        outputs={"y": ("INTEGER", make.promise("n0", "o0"))},
    )
    assert make.problems(template) == [("TaskReferenceNotFound", "n0")]


def test_unions_in_unions_are_given_up_before_they_take_for_ever(make: Make) -> None:
    kind: dict[str, object] = {"simple": "STRING"}
    binding = make.scalar(1)
    for _ in range(10):
        listed = {"collectionType": kind}
        kind = {"unionType": {"variants": [listed, listed]}}
        binding = make.collection(binding, binding)
    taker = make.task("taker", {"a": kind}, {})
    template = make.workflow(make.node("n0", "taker", a=binding))
    assert make.problems(template, tasks=[taker]) == [("WorkflowBuildError", "n0")]
