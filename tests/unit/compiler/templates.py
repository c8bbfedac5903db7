"""Small templates to compile."""

from collections.abc import Iterable, Mapping

import pytest
from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2, workflow_pb2
from google.protobuf import json_format

import flightlog_compiler as compiler
from flightlog_compiler import EntityKey, LaunchPlanInterface

Kind = str | dict[str, object]


class Make:
    """Makes types, tasks, nodes and workflows, and compiles them."""

    @staticmethod
    def kind(kind: Kind) -> types_pb2.LiteralType:
        """A type from its JSON form; a bare word is a simple type."""
        shape = {"simple": kind} if isinstance(kind, str) else kind
        return json_format.ParseDict(shape, types_pb2.LiteralType())

    def variables(self, kinds: Mapping[str, Kind]) -> interface_pb2.VariableMap:
        variables = {name: interface_pb2.Variable(type=self.kind(kind)) for name, kind in kinds.items()}
        return interface_pb2.VariableMap(variables=variables)

    def interface(self, inputs: Mapping[str, Kind], outputs: Mapping[str, Kind]) -> interface_pb2.TypedInterface:
        return interface_pb2.TypedInterface(inputs=self.variables(inputs), outputs=self.variables(outputs))

    @staticmethod
    def id(name: str, resource_type: str = "TASK") -> identifier_pb2.Identifier:
        return identifier_pb2.Identifier(
            resource_type=identifier_pb2.ResourceType.Value(resource_type),
            project="p",
            domain="d",
            name=name,
            version="v",
        )

    def task(self, name: str, inputs: Mapping[str, Kind], outputs: Mapping[str, Kind]) -> tasks_pb2.TaskTemplate:
        return tasks_pb2.TaskTemplate(id=self.id(name), type="echo", interface=self.interface(inputs, outputs))

    @staticmethod
    def promise(node_id: str, variable: str, *path: str | int) -> literals_pb2.BindingData:
        steps = [
            types_pb2.PromiseAttribute(int_value=step)
            if isinstance(step, int)
            else types_pb2.PromiseAttribute(string_value=step)
            for step in path
        ]
        reference = types_pb2.OutputReference(node_id=node_id, var=variable, attr_path=steps)
        return literals_pb2.BindingData(promise=reference)

    @staticmethod
    def scalar(value: int | str | None) -> literals_pb2.BindingData:
        match value:
            case int():
                scalar = literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=value))
            case str():
                scalar = literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value=value))
            case None:
                scalar = literals_pb2.Scalar(none_type=literals_pb2.Void())
        return literals_pb2.BindingData(scalar=scalar)

    @staticmethod
    def collection(*elements: literals_pb2.BindingData) -> literals_pb2.BindingData:
        return literals_pb2.BindingData(collection=literals_pb2.BindingDataCollection(bindings=elements))

    @staticmethod
    def mapping(**elements: literals_pb2.BindingData) -> literals_pb2.BindingData:
        return literals_pb2.BindingData(map=literals_pb2.BindingDataMap(bindings=elements))

    @staticmethod
    def bindings(**bound: literals_pb2.BindingData) -> list[literals_pb2.Binding]:
        return [literals_pb2.Binding(var=name, binding=binding) for name, binding in bound.items()]

    def node(
        self, node_id: str, task: str = "inc", after: Iterable[str] = (), **bound: literals_pb2.BindingData
    ) -> workflow_pb2.Node:
        """A task node."""
        return workflow_pb2.Node(
            id=node_id,
            metadata=workflow_pb2.NodeMetadata(name=node_id),
            inputs=self.bindings(**bound),
            upstream_node_ids=after,
            task_node=workflow_pb2.TaskNode(reference_id=self.id(task)),
        )

    def target(self, node_id: str, target: dict[str, object], **bound: literals_pb2.BindingData) -> workflow_pb2.Node:
        """A node of any kind, its target in JSON form."""
        node = workflow_pb2.Node(id=node_id, inputs=self.bindings(**bound))
        return json_format.ParseDict(target, node)

    def workflow(
        self,
        *nodes: workflow_pb2.Node,
        inputs: Mapping[str, Kind] | None = None,
        outputs: Mapping[str, tuple[Kind, literals_pb2.BindingData]] | None = None,
        name: str = "w",
    ) -> workflow_pb2.WorkflowTemplate:
        outputs = outputs or {}
        return workflow_pb2.WorkflowTemplate(
            id=self.id(name, "WORKFLOW"),
            interface=self.interface(inputs or {}, {name: kind for name, (kind, _) in outputs.items()}),
            nodes=nodes,
            outputs=self.bindings(**{name: binding for name, (_, binding) in outputs.items()}),
        )

    def compile(
        self,
        template: workflow_pb2.WorkflowTemplate,
        *subs: workflow_pb2.WorkflowTemplate,
        tasks: Iterable[tasks_pb2.TaskTemplate] = (),
        launch_plans: Iterable[LaunchPlanInterface] = (),
    ) -> compiler_pb2.CompiledWorkflowClosure:
        """Compile with the task `inc(x: int) -> (o0: int)` and the tasks given."""
        known = (self.task("inc", {"x": "INTEGER"}, {"o0": "INTEGER"}), *tasks)
        return compiler.compile_workflow(
            template,
            subs,
            {EntityKey.of(task.id): compiler.compile_task(task) for task in known},
            {EntityKey.of(launch_plan.id): launch_plan for launch_plan in launch_plans},
        )

    def problems(
        self,
        template: workflow_pb2.WorkflowTemplate,
        *subs: workflow_pb2.WorkflowTemplate,
        tasks: Iterable[tasks_pb2.TaskTemplate] = (),
        launch_plans: Iterable[LaunchPlanInterface] = (),
    ) -> list[tuple[str, str]]:
        """Code and node of every problem of a workflow that must not compile."""
        with pytest.raises(compiler.CompileErrors) as caught:
            self.compile(template, *subs, tasks=tasks, launch_plans=launch_plans)
        return [(error.code, error.node_id) for error in caught.value.errors]
