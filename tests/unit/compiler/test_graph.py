"""Who runs after whom, and what can never run."""

import time

import pytest
from flyteidl.core import workflow_pb2

import flightlog_compiler as compiler
from tests.unit.compiler.templates import Make


def edges(template: workflow_pb2.WorkflowTemplate, make: Make) -> dict[str, list[str]]:
    found = make.compile(template).primary.connections
    return {node: list(ids.ids) for node, ids in found.downstream.items()}


def test_data_and_order_make_edges(make: Make) -> None:
    template = make.workflow(
        make.node("n0", x=make.promise("", "x")),
        make.node("n1", x=make.promise("n0", "o0")),
        make.node("n2", after=["n1"], x=make.scalar(1)),
        make.node("n3", x=make.scalar(1)),
        inputs={"x": "INTEGER"},
        outputs={"y": ("INTEGER", make.promise("n1", "o0"))},
    )
    assert edges(template, make) == {
        "start-node": ["n0", "n3"],
        "n0": ["n1"],
        "n1": ["end-node", "n2"],
        "n2": ["end-node"],
        "n3": ["end-node"],
    }


def test_stored_nodes_keep_their_order_and_never_wait_for_the_start(make: Make) -> None:
    template = make.workflow(
        make.node("b", after=["start-node", "a", ""], x=make.scalar(1)), make.node("a", x=make.scalar(1))
    )
    nodes = make.compile(template).primary.template.nodes
    assert [node.id for node in nodes] == ["start-node", "end-node", "b", "a"]
    assert list(nodes[2].upstream_node_ids) == ["a"]
    assert not nodes[0].HasField("metadata")
    assert not nodes[1].HasField("metadata")


def test_promises_of_workflow_inputs_name_the_start(make: Make) -> None:
    outputs = {"y": ("INTEGER", make.promise("", "x")), "ys": (LIST, make.collection(make.promise("", "x")))}
    template = make.workflow(make.node("n0", x=make.promise("", "x")), inputs={"x": "INTEGER"}, outputs=outputs)
    stored = make.compile(template).primary.template
    assert stored.nodes[2].inputs[0].binding.promise.node_id == "start-node"
    assert stored.outputs[0].binding.promise.node_id == "start-node"
    assert stored.outputs[1].binding.collection.bindings[0].promise.node_id == "start-node"
    assert list(stored.nodes[1].inputs) == list(stored.outputs)
    assert template.outputs[0].binding.promise.node_id == ""


LIST = {"collectionType": {"simple": "INTEGER"}}


def test_a_cycle_that_the_start_leads_into_is_described(make: Make) -> None:
    both = make.task("both", {"a": "INTEGER", "b": "INTEGER"}, {"o0": "INTEGER"})
    template = make.workflow(
        make.node("n0", "both", a=make.promise("", "x"), b=make.promise("n1", "o0")),
        make.node("n1", x=make.promise("n0", "o0")),
        inputs={"x": "INTEGER"},
    )
    with pytest.raises(compiler.CompileErrors) as caught:
        make.compile(template, tasks=[both])
    assert [str(error) for error in caught.value.errors] == [
        "Code: CycleDetected, Node Id: start-node, Description: A cycle has been detected while traversing the "
        "Workflow [start-node>n0>n1>n0]."
    ]


def test_a_cycle_that_nothing_leads_into_is_unreachable(make: Make) -> None:
    template = make.workflow(
        make.node("n0", x=make.promise("n1", "o0")),
        make.node("n1", x=make.promise("n0", "o0")),
        make.node("n2", x=make.promise("n2", "o0")),
    )
    with pytest.raises(compiler.CompileErrors, match=r"unreachable nodes \[n0,n1,n2\]"):
        make.compile(template)


def test_waiting_for_an_unknown_node_is_an_error(make: Make) -> None:
    template = make.workflow(make.node("n0", after=["n7"], x=make.scalar(1)))
    assert make.problems(template) == [("NodeReferenceNotFound", "n0")]


def test_the_same_node_twice_counts_once_but_two_nodes_of_one_id_do_not(make: Make) -> None:
    twice = make.workflow(make.node("n0", x=make.scalar(1)), make.node("n0", x=make.scalar(1)))
    assert [node.id for node in make.compile(twice).primary.template.nodes] == ["start-node", "end-node", "n0"]
    different = make.workflow(make.node("n0", x=make.scalar(1)), make.node("n0", x=make.scalar(2)))
    assert make.problems(different) == [("DuplicateId", "n0")]


@pytest.mark.parametrize("node_id", ["", ".", "..", "a/b", "/a", "a\0b", "a\nb", "n" * 201, "é" * 101])
def test_ids_that_cannot_name_a_nodes_data_are_refused(make: Make, node_id: str) -> None:
    template = make.workflow(make.node(node_id, x=make.scalar(1)))
    assert ("InvalidValue", node_id) in make.problems(template)


@pytest.mark.parametrize("node_id", ["n" * 200, "My node", "a.b-c_d", "é", "..."])
def test_other_ids_are_taken(make: Make, node_id: str) -> None:
    assert make.compile(make.workflow(make.node(node_id, x=make.scalar(1))))


@pytest.mark.parametrize("node_id", ["start-node", "end-node"])
def test_reserved_ids_are_refused(make: Make, node_id: str) -> None:
    template = make.workflow(make.node(node_id, x=make.scalar(1)), make.node("n0", x=make.scalar(1)))
    assert make.problems(template) == [("DuplicateId", node_id)]


def test_nodes_need_an_id_and_a_target(make: Make) -> None:
    nameless = make.node("", x=make.scalar(1))
    assert ("ValueRequired", "<node>") in make.problems(make.workflow(nameless))
    assert make.problems(make.workflow(workflow_pb2.Node(id="n0"))) == [("ValueRequired", "n0")]
    assert make.problems(make.workflow(workflow_pb2.Node(id="n0", task_node=workflow_pb2.TaskNode()))) == [
        ("ValueRequired", "n0")
    ]


def test_variables_need_a_type(make: Make) -> None:
    template = make.workflow(make.node("n0", x=make.scalar(1)))
    template.interface.inputs.variables["x"].description = "no type"
    assert make.problems(template) == [("ValueRequired", "start-node")]


def test_an_interface_without_variables_is_stored_as_empty_maps(make: Make) -> None:
    template = make.workflow(make.node("n0", x=make.scalar(1)))
    template.ClearField("interface")
    stored = make.compile(template).primary.template.interface
    assert stored.HasField("inputs")
    assert stored.HasField("outputs")


def test_all_problems_are_told_at_once(make: Make) -> None:
    template = make.workflow(
        make.node("n0"),
        make.node("n1", x=make.scalar("a"), y=make.scalar(1)),
        make.node("n2", "gone"),
        outputs={"y": ("INTEGER", make.promise("n9", "o0"))},
    )
    assert make.problems(template) == [
        ("MismatchingTypes", "n1"),
        ("NodeReferenceNotFound", "n9"),
        ("ParameterNotBound", "end-node"),
        ("ParameterNotBound", "n0"),
        ("TaskReferenceNotFound", "n2"),
        ("VariableNameNotFound", "n1"),
    ]


def test_a_thousand_nodes_compile_quickly(make: Make) -> None:
    nodes = [make.node("n0", x=make.promise("", "x"))]
    nodes += [make.node(f"n{i}", after=[f"n{i - 1}"], x=make.promise(f"n{i - 1}", "o0")) for i in range(1, 1000)]
    template = make.workflow(*nodes, inputs={"x": "INTEGER"}, outputs={"y": ("INTEGER", make.promise("n999", "o0"))})
    begin = time.process_time()
    closure = make.compile(template)
    assert time.process_time() - begin < 0.5
    assert len(closure.primary.connections.downstream) == 1001
