"""Every kind of node is compiled, also those that this release's engine does not run yet."""

import pytest
from flyteidl.core import interface_pb2, literals_pb2, workflow_pb2

from flightlog_compiler import LaunchPlanInterface, requirements
from tests.unit.compiler.templates import Make

X_ABOVE_5 = {"comparison": {"operator": "GT", "leftValue": {"var": ".x"}, "rightValue": {"primitive": {"integer": 5}}}}


def arm(node_id: str, task: str = "inc", variable: str = "x") -> dict[str, object]:
    reference = {"resourceType": "TASK", "project": "p", "domain": "d", "name": task, "version": "v"}
    inputs = [{"var": "x", "binding": {"promise": {"var": variable}}}]
    return {"id": node_id, "inputs": inputs, "taskNode": {"referenceId": reference}}


def branch(
    *arms: dict[str, object], condition: dict[str, object] | None = None, **default: object
) -> dict[str, object]:
    blocks = [{"condition": condition or X_ABOVE_5, "thenNode": one} for one in arms]
    return {"branchNode": {"ifElse": {"case": blocks[0], "other": blocks[1:], **default}}}


FAIL = {"error": {"failedNodeId": "n0", "message": "none"}}


def branching(make: Make, target: dict[str, object]) -> workflow_pb2.WorkflowTemplate:
    node = make.target("n0", target, **{".x": make.promise("", "x")})
    return make.workflow(node, inputs={"x": "INTEGER"}, outputs={"y": ("INTEGER", make.promise("n0", "o0"))})


def test_arms_of_branches_get_names_of_their_own(make: Make) -> None:
    inner = {"id": "n1", "inputs": [{"var": ".x", "binding": {"promise": {"var": "x"}}}], **branch(arm("n0"), **FAIL)}
    closure = make.compile(branching(make, branch(arm("n0"), inner, elseNode=arm("n2"))))
    block = closure.primary.template.nodes[2].branch_node.if_else
    assert block.case.then_node.id == "n0-n0"
    assert block.other[0].then_node.id == "n0-n1"
    assert block.other[0].then_node.branch_node.if_else.case.then_node.id == "n0-n1-n0"
    assert block.else_node.id == "n0-n2"
    assert block.case.then_node.inputs[0].binding.promise.node_id == "start-node"
    upstream, downstream = closure.primary.connections.upstream, closure.primary.connections.downstream
    assert {node for node in upstream if node.startswith("n0-")} == {"n0-n0", "n0-n1", "n0-n2", "n0-n1-n0"}
    assert dict(downstream).keys() == {"start-node", "n0"}


def test_a_branch_gives_what_all_its_arms_give(make: Make) -> None:
    more = make.task("more", {"x": "INTEGER"}, {"o0": "INTEGER", "o1": "INTEGER"})
    text = make.task("text", {"x": "INTEGER"}, {"o0": "STRING"})
    make.compile(branching(make, branch(arm("a"), arm("b", "more"), **FAIL)), tasks=[more])
    assert make.problems(branching(make, branch(arm("a"), arm("b", "text"), **FAIL)), tasks=[text]) == [
        ("MismatchingTypes", "n0-b")
    ]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ({"branchNode": {}}, ("ValueRequired", "n0")),
        ({"branchNode": {"ifElse": {"error": {}}}}, ("ValueRequired", "n0")),
        (branch(arm("a")), ("BranchNodeHasNoDefault", "n0")),
        ({"branchNode": {"ifElse": {"case": {"thenNode": arm("a")}, **FAIL}}}, ("BranchNodeHasNoCondition", "n0")),
        ({"branchNode": {"ifElse": {"case": {"condition": X_ABOVE_5}, **FAIL}}}, ("BranchNodeIdNotFound", "n0")),
        (branch(arm("a"), condition={"comparison": {}}, **FAIL), ("ValueRequired", "n0")),
        (branch(arm("a"), condition={"conjunction": {}}, **FAIL), ("BranchNodeHasNoCondition", "n0")),
        (
            branch(
                arm("a"),
                condition={"comparison": {"leftValue": {"var": ".y"}, "rightValue": {"primitive": {"integer": 1}}}},
                **FAIL,
            ),
            ("VariableNameNotFound", "n0"),
        ),
        (
            branch(
                arm("a"),
                condition={"comparison": {"leftValue": {"var": ".x"}, "rightValue": {"primitive": {"boolean": True}}}},
                **FAIL,
            ),
            ("MismatchingTypes", "n0"),
        ),
        (branch(arm("a", "gone"), **FAIL), ("TaskReferenceNotFound", "n0-a")),
        (branch(arm("a", variable="gone"), **FAIL), ("ParameterNotBound", "n0-a")),
    ],
)
def test_broken_branches(make: Make, target: dict[str, object], problem: tuple[str, str]) -> None:
    assert problem in make.problems(branching(make, target))


def test_a_comparison_with_none_compiles(make: Make) -> None:
    condition = {"comparison": {"leftValue": {"var": ".x"}, "rightValue": {"scalar": {"noneType": {}}}}}
    make.compile(branching(make, branch(arm("a"), condition=condition, **FAIL)))


@pytest.mark.parametrize(
    ("kind", "constant", "problems"),
    [
        ("INTEGER", {"integer": 1}, []),
        ("STRING", {"stringValue": "a"}, []),
        ("enum", {"stringValue": "a"}, []),
        ("NONE", {"integer": 1}, [("MismatchingTypes", "n0")]),
        ("STRING", {"boolean": True}, [("MismatchingTypes", "n0")]),
    ],
)
def test_a_union_is_compared_with_one_of_its_variants(
    make: Make, kind: str, constant: dict[str, object], problems: list[tuple[str, str]]
) -> None:
    variant = {"enumType": {"values": ["a"]}} if kind == "enum" else {"simple": kind, "structure": {"tag": "t"}}
    optional = {"unionType": {"variants": [{"simple": "FLOAT"}, variant]}}
    of_optional = make.task("of_optional", {"x": optional}, {"o0": "INTEGER"})
    condition = {"comparison": {"leftValue": {"var": ".x"}, "rightValue": {"primitive": constant}}}
    node = make.target(
        "n0", branch(arm("a", "of_optional"), condition=condition, **FAIL), **{".x": make.promise("", "x")}
    )
    template = make.workflow(node, inputs={"x": optional}, outputs={"y": ("INTEGER", make.promise("n0", "o0"))})
    if problems:
        assert make.problems(template, tasks=[of_optional]) == problems
    else:
        make.compile(template, tasks=[of_optional])


def test_an_arm_that_takes_what_comes_after_its_branch_is_a_cycle(make: Make) -> None:
    taking: dict[str, object] = {
        **arm("a"),
        "inputs": [{"var": "x", "binding": {"promise": {"nodeId": "n1", "var": "o0"}}}],
    }
    inner = {"id": "b", "inputs": [{"var": ".x", "binding": {"promise": {"var": "x"}}}], **branch(taking, **FAIL)}
    for target in (branch(taking, **FAIL), branch(inner, **FAIL)):
        first = make.target("n0", target, **{".x": make.promise("", "x")})
        second = make.node("n1", x=make.promise("n0", "o0"))
        template = make.workflow(first, second, inputs={"x": "INTEGER"})
        assert make.problems(template) == [("CycleDetected", "start-node")]
        apart = make.node("n1", x=make.promise("", "x"))
        make.compile(make.workflow(first, apart, inputs={"x": "INTEGER"}))


def test_what_an_arm_comes_after_must_exist(make: Make) -> None:
    late: dict[str, object] = {**arm("a"), "upstreamNodeIds": ["n1"]}
    template = branching(make, branch(late, **FAIL))
    assert make.problems(template) == [("NodeReferenceNotFound", "n0-a")]
    template.nodes.append(make.node("n1", x=make.promise("", "x")))
    upstream = make.compile(template).primary.connections.upstream
    assert list(upstream["n0-a"].ids) == ["n1", "start-node"]


def test_gates(make: Make) -> None:
    signal = {"gateNode": {"signal": {"signalId": "s", "type": {"simple": "INTEGER"}, "outputVariableName": "o0"}}}
    approve = {"gateNode": {"approve": {"signalId": "ok"}}}
    # Declared before what it approves: the order of nodes is the client's.
    template = make.workflow(
        make.target("n2", approve, o0=make.promise("n1", "o0")),
        make.target("n1", approve, o0=make.promise("n0", "o0")),
        make.target("n0", signal),
        make.target("n3", {"gateNode": {"sleep": {"duration": "2s"}}}),
        outputs={"y": ("INTEGER", make.promise("n2", "o0"))},
    )
    downstream = make.compile(template).primary.connections.downstream
    assert list(downstream["n1"].ids) == ["n2"]
    assert list(downstream["start-node"].ids) == ["n0", "n3"]


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ({}, "NoConditionFound"),
        ({"signal": {"signalId": "s", "outputVariableName": "o0"}}, "ValueRequired"),
        ({"signal": {"signalId": "s", "type": {"simple": "INTEGER"}}}, "ValueRequired"),
    ],
)
def test_broken_gates(make: Make, gate: dict[str, object], code: str) -> None:
    assert make.problems(make.workflow(make.target("n0", {"gateNode": gate}))) == [(code, "n0")]


def test_approvals_of_each_other_are_unreachable(make: Make) -> None:
    approve = {"gateNode": {"approve": {"signalId": "ok"}}}
    template = make.workflow(
        make.target("n0", approve, o0=make.promise("n1", "o0")), make.target("n1", approve, o0=make.promise("n0", "o0"))
    )
    assert make.problems(template) == [("UnreachableNodes", "start-node")]


def test_launch_plan_nodes_take_required_and_overridden_inputs(make: Make) -> None:
    identifier = make.id("lp", "LAUNCH_PLAN")
    variable = interface_pb2.Variable(type=make.kind("INTEGER"))
    default = interface_pb2.Parameter(var=variable)
    default.default.scalar.primitive.integer = 1
    expected = interface_pb2.ParameterMap(
        parameters={"a": interface_pb2.Parameter(var=variable, required=True), "b": default}
    )
    known = LaunchPlanInterface(identifier, expected, make.variables({"o0": "INTEGER"}))

    def run(**bound: object) -> workflow_pb2.WorkflowTemplate:
        node = workflow_pb2.Node(id="n0", inputs=make.bindings(**bound))  # type: ignore[arg-type]
        node.workflow_node.launchplan_ref.CopyFrom(identifier)
        return make.workflow(node, outputs={"y": ("INTEGER", make.promise("n0", "o0"))})

    make.compile(run(a=make.scalar(1)), launch_plans=[known])
    make.compile(run(a=make.scalar(1), b=make.scalar(2)), launch_plans=[known])
    assert make.problems(run(), launch_plans=[known]) == [("ParameterNotBound", "n0")]
    wrong = run(a=make.scalar(1), b=make.scalar("2"))
    assert make.problems(wrong, launch_plans=[known]) == [("MismatchingTypes", "n0")]
    assert make.problems(run(a=make.scalar(1))) == [("WorkflowReferenceNotFound", "n0")]
    assert requirements(run(), ()).launch_plan_ids == (identifier,)


def test_array_nodes_have_the_interface_of_what_they_map(make: Make) -> None:
    numbers = {"collectionType": {"simple": "INTEGER"}}
    mapped = make.task("mapped", {"x": numbers}, {"o0": numbers})
    node = workflow_pb2.Node(id="n0", inputs=make.bindings(x=make.promise("", "xs")))
    node.array_node.node.CopyFrom(make.node("inner", "mapped", x=make.promise("", "xs")))
    template = make.workflow(node, inputs={"xs": numbers}, outputs={"ys": (numbers, make.promise("n0", "o0"))})
    stored = make.compile(template, tasks=[mapped]).primary.template.nodes[2]
    assert stored.array_node.node.inputs[0].binding.promise.node_id == ""
    node.array_node.node.CopyFrom(make.node("inner", "inc"))
    node.array_node.is_original_sub_node_interface.value = True
    make.compile(make.workflow(node, inputs={"xs": numbers}, outputs={"ys": (numbers, make.promise("n0", "o0"))}))


def test_the_failure_node_reads_but_is_not_walked_to(make: Make) -> None:
    template = make.workflow(make.node("n0", x=make.promise("", "x")), inputs={"x": "INTEGER"})
    template.failure_node.CopyFrom(make.node("fn0", x=make.promise("", "x")))
    closure = make.compile(template)
    assert list(closure.primary.connections.upstream["fn0"].ids) == ["start-node"]
    assert list(closure.primary.connections.downstream["start-node"].ids) == ["n0"]
    assert closure.primary.template.failure_node.inputs[0].binding.promise.node_id == "start-node"
    template.failure_node.CopyFrom(make.node("fn0"))
    assert make.problems(template) == [("ParameterNotBound", "fn0")]


def sub_node(make: Make, node_id: str, name: str, **bound: object) -> workflow_pb2.Node:
    node = workflow_pb2.Node(id=node_id, inputs=make.bindings(**bound))  # type: ignore[arg-type]
    node.workflow_node.sub_workflow_ref.CopyFrom(make.id(name, "WORKFLOW"))
    return node


def test_sub_workflows_are_compiled_once_and_unused_ones_dropped(make: Make) -> None:
    deep = make.workflow(make.node("n0", "deeper", x=make.scalar(1)), name="deep")
    sub = make.workflow(sub_node(make, "n0", "deep"), name="sub")
    unused = make.workflow(make.node("n0", "gone"), name="unused")
    primary = make.workflow(sub_node(make, "n0", "sub"), sub_node(make, "n1", "sub"))
    deeper = make.task("deeper", {"x": "INTEGER"}, {})
    assert [task.name for task in requirements(primary, [unused, deep, sub]).task_ids] == ["deeper"]
    closure = make.compile(primary, unused, deep, sub, tasks=[deeper])
    assert [compiled.template.id.name for compiled in closure.sub_workflows] == ["deep", "sub"]
    assert [task.template.id.name for task in closure.tasks] == ["deeper"]
    assert all(compiled.connections.downstream["start-node"].ids for compiled in closure.sub_workflows)


def test_problems_inside_sub_workflows_are_told(make: Make) -> None:
    primary = make.workflow(sub_node(make, "n0", "sub"))
    assert make.problems(primary) == [("WorkflowReferenceNotFound", "n0")]
    assert make.problems(primary, make.workflow(make.node("n5"), name="sub")) == [("ParameterNotBound", "n5")]


def test_the_interface_of_a_sub_workflow_is_checked(make: Make) -> None:
    sub = make.workflow(make.node("n0", x=make.promise("", "x")), inputs={"x": "INTEGER"}, name="sub")
    make.compile(make.workflow(sub_node(make, "n0", "sub", x=make.scalar(1))), sub)
    assert make.problems(make.workflow(sub_node(make, "n0", "sub")), sub) == [("ParameterNotBound", "n0")]


def test_a_workflow_that_runs_itself_is_refused(make: Make) -> None:
    first = make.workflow(sub_node(make, "n0", "second"), name="first")
    second = make.workflow(sub_node(make, "n0", "first"), name="second")
    primary = make.workflow(sub_node(make, "n0", "first"))
    assert make.problems(primary, first, second) == [("CycleDetected", "first")]
    itself = make.workflow(sub_node(make, "n0", "w"))
    assert make.problems(itself, itself) == [("CycleDetected", "w")]


def test_a_thousand_nested_sub_workflows_compile(make: Make) -> None:
    subs = [make.workflow(sub_node(make, "n0", f"s{i + 1}"), name=f"s{i}") for i in range(1000)]
    subs.append(make.workflow(make.node("n0", x=make.scalar(1)), name="s1000"))
    closure = make.compile(make.workflow(sub_node(make, "n0", "s0")), *subs)
    assert len(closure.sub_workflows) == 1001


def test_two_different_sub_workflows_of_one_id_are_refused(make: Make) -> None:
    sub = make.workflow(make.node("n0", x=make.scalar(1)), name="sub")
    other = make.workflow(make.node("n0", x=make.scalar(2)), name="sub")
    primary = make.workflow(sub_node(make, "n0", "sub"))
    make.compile(primary, sub, sub)
    assert [code for code, _ in make.problems(primary, sub, other)] == ["DuplicateId"]


def test_the_closure_says_what_cached_launch_plans_take_and_give(make: Make) -> None:
    """Of the others it says nothing: clients look them up one by one (admin-contract §3.2)."""
    variable = interface_pb2.Variable(type=make.kind("INTEGER"))
    default = interface_pb2.Parameter(var=variable)
    default.default.scalar.primitive.integer = 1
    expected = interface_pb2.ParameterMap(
        parameters={"a": interface_pb2.Parameter(var=variable, required=True), "b": default}
    )
    fixed = literals_pb2.LiteralMap(literals={"c": default.default})
    known = [
        LaunchPlanInterface(make.id(name, "LAUNCH_PLAN"), expected, make.variables({"o0": "INTEGER"}), fixed)
        for name in ("cached", "another")
    ]
    nodes = [workflow_pb2.Node(id=f"n{index}", inputs=make.bindings(a=make.scalar(1))) for index in range(2)]
    for node, launch_plan in zip(nodes, known, strict=True):
        node.workflow_node.launchplan_ref.CopyFrom(launch_plan.id)
    nodes[0].metadata.cacheable = True
    (compiled,) = make.compile(make.workflow(*nodes), launch_plans=known).launch_plans
    template = compiled.template
    assert template.id == known[0].id
    assert set(template.interface.inputs.variables) == {"a", "b"}
    assert set(template.interface.outputs.variables) == {"o0"}
    assert {name: value.scalar.primitive.integer for name, value in template.fixed_inputs.literals.items()} == {
        "b": 1,
        "c": 1,
    }
