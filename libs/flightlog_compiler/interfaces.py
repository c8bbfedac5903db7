"""What each kind of node takes and gives (admin-contract §3.3)."""

from collections.abc import Mapping

from flyteidl.core import interface_pb2, types_pb2, workflow_pb2

from flightlog_compiler import errors
from flightlog_compiler.bindings import BindingCheck, Interface, Producers, Types
from flightlog_compiler.branches import branch_outputs, check_conditions
from flightlog_compiler.errors import Problems
from flightlog_compiler.references import EntityKey, References, branch_arms
from flightlog_types import prototext

_NOTHING = Interface({}, {})


def declared(interface: interface_pb2.TypedInterface) -> Interface:
    """The types of a declared interface."""
    return Interface(_types(interface.inputs.variables), _types(interface.outputs.variables))


def check_declared(node_id: str, interface: interface_pb2.TypedInterface, problems: Problems) -> bool:
    """Whether every declared variable has a name and a type; reports those that don't."""
    before = len(problems)
    for variables in (interface.inputs.variables, interface.outputs.variables):
        for name, variable in variables.items():
            if not name:
                problems.add(errors.value_required(node_id, "paramName"))
            if not variable.HasField("type"):
                problems.add(errors.value_required(node_id, "param.Type"))
    return len(problems) == before


def needs_others(node: workflow_pb2.Node) -> bool:
    """Whether a node's interface depends on what other nodes give: only its bindings tell its types."""
    match node.WhichOneof("target"):
        case "branch_node":
            return True
        case "gate_node":
            return node.gate_node.WhichOneof("condition") == "approve"
        case _:
            return False


class Interfaces:
    """Works out the interfaces of the nodes of one workflow."""

    def __init__(self, references: References, producers: Producers, problems: Problems) -> None:
        self._references = references
        self._producers = producers
        self._problems = problems

    def of(self, node: workflow_pb2.Node) -> Interface | None:
        """What a node takes and gives, after its output aliases; None when that was reported as a problem."""
        before = len(self._problems)
        if not node.id:
            self._problems.add(errors.value_required("<node>", "Id"))
        interface = self._of_target(node)
        if interface is None or len(self._problems) > before:
            return None
        return Interface(interface.inputs, self._aliased(node, interface.outputs))

    def _of_target(self, node: workflow_pb2.Node) -> Interface | None:
        match node.WhichOneof("target"):
            case "task_node":
                return self._of_task(node)
            case "workflow_node":
                return self._of_workflow(node)
            case "branch_node":
                return self._of_branch(node)
            case "gate_node":
                return self._of_gate(node)
            case "array_node":
                return self._of_array(node)
            case _:
                self._problems.add(errors.value_required(node.id, "Target"))
                return None

    def _of_task(self, node: workflow_pb2.Node) -> Interface | None:
        if not node.task_node.HasField("reference_id"):
            self._problems.add(errors.value_required(node.id, "TaskNode.ReferenceId"))
            return None
        task = self._references.tasks.get(EntityKey.of(node.task_node.reference_id))
        if task is None:
            self._problems.add(errors.task_not_found(node.id, node.task_node.reference_id))
            return None
        check_declared(node.id, task.interface, self._problems)
        return declared(task.interface)

    def _of_workflow(self, node: workflow_pb2.Node) -> Interface | None:
        target = node.workflow_node
        match target.WhichOneof("reference"):
            case "launchplan_ref":
                launch_plan = self._references.launch_plans.get(EntityKey.of(target.launchplan_ref))
                if launch_plan is not None:
                    bound = {binding.var for binding in node.inputs}
                    return Interface(
                        {
                            name: parameter.var.type
                            for name, parameter in launch_plan.expected_inputs.parameters.items()
                            if parameter.required or name in bound
                        },
                        _types(launch_plan.expected_outputs.variables),
                    )
                missing = prototext(target.launchplan_ref)
            case "sub_workflow_ref":
                template = self._references.sub_workflows.get(EntityKey.of(target.sub_workflow_ref))
                if template is not None:
                    return declared(template.interface)
                missing = prototext(target.sub_workflow_ref)
            case _:
                missing = "<nil>/<nil>"
        self._problems.add(errors.workflow_not_found(node.id, missing))
        return None

    def _of_branch(self, node: workflow_pb2.Node) -> Interface | None:
        before = len(self._problems)
        arms = {arm.id: self.of(arm) for arm in branch_arms(node.branch_node)}
        inputs = BindingCheck(self._producers, node, self._problems).infer(node.inputs)
        check_conditions(node, inputs, self._problems)
        if len(self._problems) > before or not arms:
            return None
        outputs = branch_outputs({arm: found for arm, found in arms.items() if found is not None}, self._problems)
        return Interface(inputs, outputs)

    def _of_gate(self, node: workflow_pb2.Node) -> Interface | None:
        gate = node.gate_node
        match gate.WhichOneof("condition"):
            case "approve":
                inputs = BindingCheck(self._producers, node, self._problems).infer(node.inputs)
                return Interface(inputs, inputs)
            case "signal":
                if not gate.signal.HasField("type"):
                    self._problems.add(errors.value_required(node.id, "GateNode.Signal.Type"))
                elif not gate.signal.output_variable_name:
                    self._problems.add(errors.value_required(node.id, "GateNode.Signal.OutputVariableName"))
                return Interface({}, {gate.signal.output_variable_name: gate.signal.type})
            case "sleep":
                return _NOTHING
            case _:
                self._problems.add(errors.no_gate_condition(node.id))
                return None

    def _of_array(self, node: workflow_pb2.Node) -> Interface | None:
        array = node.array_node
        if not array.HasField("node"):
            self._problems.add(errors.value_required(node.id, "ArrayNode.Node"))
            return None
        inner = self.of(array.node)
        if inner is None or not array.is_original_sub_node_interface.value:
            # A map task is registered with the lists in its own interface already (admin-contract T29).
            return inner
        bound = set(array.bound_inputs)
        return Interface(
            {name: kind if name in bound else _listed(kind) for name, kind in inner.inputs.items()},
            {name: _listed(kind) for name, kind in inner.outputs.items()},
        )

    def _aliased(self, node: workflow_pb2.Node, outputs: Types) -> Types:
        if not node.output_aliases:
            return outputs
        aliases: dict[str, str] = {}
        for alias in node.output_aliases:
            if alias.var in aliases:
                self._problems.add(errors.duplicate_alias(node.id, alias.alias))
            else:
                aliases[alias.var] = alias.alias
        for variable in aliases.keys() - outputs.keys():
            self._problems.add(errors.not_bound(node.id, aliases[variable]))
        return {aliases.get(name, name): kind for name, kind in outputs.items()}


def _listed(element: types_pb2.LiteralType) -> types_pb2.LiteralType:
    return types_pb2.LiteralType(collection_type=element)


def _types(variables: Mapping[str, interface_pb2.Variable]) -> Types:
    return {name: variable.type for name, variable in variables.items()}
