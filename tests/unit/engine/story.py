"""A small language for the engine's tests: workflows in a line each, histories told by commands, facts read as text.

A `Story` is the shell in miniature: it keeps blobs, answers NeedData, folds facts. After every command it checks what
must hold always: deciding twice gives the same bytes, the returned state is the fold of the facts, no blob changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from flyteidl.core import (
    compiler_pb2,
    condition_pb2,
    dynamic_job_pb2,
    errors_pb2,
    identifier_pb2,
    literals_pb2,
    tasks_pb2,
    types_pb2,
    workflow_pb2,
)
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution, WorkflowExecution
from flyteidl.plugins import array_job_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Exit
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import engine

F = TypeVar("F", bound=Message)

MORNING = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
NAME = "akmhktsb8cz8hwmv4ldf"
WORKFLOW_DIR = f"s3://bucket/metadata/propeller/p-d-{NAME}"
FAIL_AFTER = workflow_pb2.WorkflowMetadata.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE

# ---------------------------------------------------------------------------------------------------- values


def literal(value: Any) -> literals_pb2.Literal:
    """A literal of a Python value: int, float, str, bool, None, list, dict."""
    made = literals_pb2.Literal()
    match value:
        case literals_pb2.Literal():
            made.CopyFrom(value)
        case None:
            made.scalar.none_type.SetInParent()
        case bool():
            made.scalar.primitive.boolean = value
        case int():
            made.scalar.primitive.integer = value
        case float():
            made.scalar.primitive.float_value = value
        case str():
            made.scalar.primitive.string_value = value
        case list():
            made.collection.literals.extend(map(literal, value))
            made.collection.SetInParent()
        case dict():
            made.map.SetInParent()
            for key, item in value.items():
                made.map.literals[key].CopyFrom(literal(item))
        case _:
            raise TypeError(type(value))
    return made


def literal_map(values: Mapping[str, Any]) -> literals_pb2.LiteralMap:
    return literals_pb2.LiteralMap(literals={key: literal(value) for key, value in values.items()})


def plain(value: literals_pb2.Literal) -> Any:
    """The Python value of a literal."""
    match value.WhichOneof("value"):
        case "collection":
            return [plain(item) for item in value.collection.literals]
        case "map":
            return {key: plain(item) for key, item in sorted(value.map.literals.items())}
        case "scalar" if value.scalar.WhichOneof("value") == "primitive":
            primitive = value.scalar.primitive
            return getattr(primitive, primitive.WhichOneof("value"))
        case "scalar" if value.scalar.WhichOneof("value") == "none_type":
            return None
        case _:
            return value


def plain_map(values: literals_pb2.LiteralMap) -> dict[str, Any]:
    return {key: plain(value) for key, value in sorted(values.literals.items())}


# ---------------------------------------------------------------------------------------------------- workflows


@dataclass(frozen=True)
class From:
    """An output of a node; `From("", "x")` is the workflow's input x."""

    node: str
    var: str = "o0"
    path: tuple[str | int, ...] = ()


INPUT = From("", "x")


def binding(source: Any) -> literals_pb2.BindingData:
    match source:
        case From():
            attributes = [
                types_pb2.PromiseAttribute(**{"int_value" if isinstance(key, int) else "string_value": key})
                for key in source.path
            ]
            promise = types_pb2.OutputReference(node_id=source.node, var=source.var, attr_path=attributes)
            return literals_pb2.BindingData(promise=promise)
        case list():
            items = literals_pb2.BindingDataCollection(bindings=map(binding, source))
            return literals_pb2.BindingData(collection=items)
        case dict():
            entries = {key: binding(item) for key, item in source.items()}
            return literals_pb2.BindingData(map=literals_pb2.BindingDataMap(bindings=entries))
        case literals_pb2.BindingData():
            return source
        case _:
            return literals_pb2.BindingData(scalar=literal(source).scalar)


def bindings(inputs: Mapping[str, Any]) -> list[literals_pb2.Binding]:
    return [literals_pb2.Binding(var=var, binding=binding(source)) for var, source in inputs.items()]


def is_input(source: literals_pb2.BindingData) -> bool:
    return source.HasField("promise") and not source.promise.node_id


@dataclass
class Flow:
    """A workflow under construction. Methods return the flow, so that one reads as a list of nodes."""

    name: str = "main"
    nodes: list[workflow_pb2.Node] = field(default_factory=list[workflow_pb2.Node])
    tasks: dict[str, tasks_pb2.TaskTemplate] = field(default_factory=dict[str, tasks_pb2.TaskTemplate])
    subs: list[Flow] = field(default_factory=lambda: list[Flow]())
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    metadata: workflow_pb2.WorkflowMetadata = field(default_factory=workflow_pb2.WorkflowMetadata)
    interruptible: bool = False
    failure_node: workflow_pb2.Node | None = None
    # Those whose results nodes want to be cached, by name.
    launch_plans: dict[str, compiler_pb2.CompiledLaunchPlan] = field(
        default_factory=dict[str, compiler_pb2.CompiledLaunchPlan]
    )

    def task(
        self,
        node_id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        after: Iterable[str] = (),
        task_type: str = "python-task",
        outputs: Iterable[str] = ("o0",),
        retries: int = 0,
        deck: bool | None = None,
        **metadata: Any,
    ) -> Flow:
        inputs = inputs or {}
        template = tasks_pb2.TaskTemplate(id=identifier("TASK", f"{self.name}.{node_id}"), type=task_type)
        for var in inputs:
            template.interface.inputs.variables[var].type.simple = types_pb2.INTEGER
        for var in outputs:
            template.interface.outputs.variables[var].type.simple = types_pb2.INTEGER
        template.metadata.retries.retries = retries
        if deck is not None:
            template.metadata.generates_deck.value = deck
        self.tasks[node_id] = template
        node = self._node(node_id, inputs, after, metadata)
        node.task_node.reference_id.CopyFrom(template.id)
        return self

    def echo(self, node_id: str, source: Any = INPUT, *, after: Iterable[str] = (), **metadata: Any) -> Flow:
        return self.task(node_id, {"a": source}, after=after, task_type="echo", **metadata)

    def sub(
        self,
        node_id: str,
        flow: Flow,
        inputs: Mapping[str, Any] | None = None,
        *,
        after: Iterable[str] = (),
        **metadata: Any,
    ) -> Flow:
        node = self._node(node_id, inputs or {}, after, metadata)
        node.workflow_node.sub_workflow_ref.CopyFrom(identifier("WORKFLOW", flow.name))
        self.subs.append(flow)
        return self

    def returns(self, **outputs: Any) -> Flow:
        self.outputs = outputs
        return self

    def fails_after(self) -> Flow:
        self.metadata.on_failure = FAIL_AFTER
        return self

    def on_failure(self) -> Flow:
        """Takes the node added last out of the graph: it is the failure node."""
        self.failure_node = self.nodes.pop()
        return self

    def branch(
        self,
        node_id: str,
        *cases: tuple[condition_pb2.BooleanExpression, Flow],
        otherwise: Flow | str | None = None,
        after: Iterable[str] = (),
        **metadata: Any,
    ) -> Flow:
        """A conditional. An arm is a flow of one node; otherwise an arm, a message to fail with, or nothing at all."""
        variables = {var for condition, _ in cases for var in variables_of(condition)}
        inputs = {var: From(*var.split(".", 1)) for var in sorted(variables)}
        if_else = self._node(node_id, inputs, after, metadata).branch_node.if_else
        for number, (condition, arm) in enumerate(cases):
            block = if_else.other.add() if number else if_else.case
            block.condition.CopyFrom(condition)
            block.then_node.CopyFrom(self._arm(node_id, arm))
        if isinstance(otherwise, str):
            if_else.error.message = otherwise
        elif otherwise is not None:
            if_else.else_node.CopyFrom(self._arm(node_id, otherwise))
        return self

    def sleeps(self, node_id: str, seconds: float, *, after: Iterable[str] = (), **metadata: Any) -> Flow:
        gate = self._node(node_id, {}, after, metadata).gate_node
        gate.sleep.duration.FromTimedelta(timedelta(seconds=seconds))
        return self

    def waits(
        self,
        node_id: str,
        signal_id: str,
        *,
        simple: types_pb2.SimpleType = types_pb2.INTEGER,
        after: Iterable[str] = (),
        **metadata: Any,
    ) -> Flow:
        signal = self._node(node_id, {}, after, metadata).gate_node.signal
        signal.signal_id, signal.type.simple, signal.output_variable_name = signal_id, simple, "o0"
        return self

    def approves(
        self, node_id: str, signal_id: str, source: Any, *, after: Iterable[str] = (), **metadata: Any
    ) -> Flow:
        self._node(node_id, {"o0": source}, after, metadata).gate_node.approve.signal_id = signal_id
        return self

    def map(
        self,
        node_id: str,
        inputs: Mapping[str, Any],
        *,
        bound: Iterable[str] = (),
        task_type: str = "python-task",
        outputs: Iterable[str] = ("o0",),
        retries: int = 0,
        seconds: float = 0,
        original: bool = False,
        launch_plan: str = "",
        after: Iterable[str] = (),
        array: Mapping[str, Any] | None = None,
        **metadata: Any,
    ) -> Flow:
        """An array over a task, or over a launch plan. `retries` and `seconds` (the timeout) are each element's."""
        self.task(node_id, inputs, task_type=task_type, outputs=outputs)
        if not original:
            # The task of a map takes and gives lists, as flytekit writes it.
            interface = self.tasks[node_id].interface
            for variables in (interface.inputs.variables, interface.outputs.variables):
                for var in set(variables).difference(bound):
                    variables[var].type.collection_type.simple = types_pb2.INTEGER
        element = self.nodes.pop()
        element.metadata.retries.retries = retries
        element.metadata.timeout.FromTimedelta(timedelta(seconds=seconds))
        node = self._node(node_id, inputs, after, metadata)
        if launch_plan:
            element.workflow_node.launchplan_ref.CopyFrom(identifier("LAUNCH_PLAN", launch_plan))
            # As flytekit writes it: what is said of the map is said of its elements.
            for name in ("cacheable", "cache_version", "cache_serializable"):
                if node.metadata.HasField(name):
                    setattr(element.metadata, name, getattr(node.metadata, name))
            self._knows(launch_plan, inputs, {})
        node.array_node.CopyFrom(workflow_pb2.ArrayNode(node=element, bound_inputs=bound, **(array or {})))
        node.array_node.is_original_sub_node_interface.value = original
        return self

    def map_task(self, node_id: str, inputs: Mapping[str, Any], *, version: int = 1, **job: Any) -> Flow:
        """A task of type container_array."""
        self.task(node_id, inputs, task_type="container_array")
        template = self.tasks[node_id]
        template.task_type_version = version
        json_format.ParseDict(json_format.MessageToDict(array_job_pb2.ArrayJob(**job)), template.custom)
        return self

    def launches(
        self,
        node_id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        launch_plan: str = "echo",
        given: Mapping[str, Any] | None = None,
        after: Iterable[str] = (),
        **metadata: Any,
    ) -> Flow:
        """A node that runs a launch plan, which gives by itself the inputs in `given`."""
        node = self._node(node_id, inputs or {}, after, metadata)
        node.workflow_node.launchplan_ref.CopyFrom(identifier("LAUNCH_PLAN", launch_plan))
        if node.metadata.cacheable:
            self._knows(launch_plan, inputs or {}, given or {})
        return self

    def _knows(self, launch_plan: str, inputs: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        template = self.launch_plans.setdefault(launch_plan, compiler_pb2.CompiledLaunchPlan()).template
        template.id.CopyFrom(identifier("LAUNCH_PLAN", launch_plan))
        for var in (*inputs, *given):
            template.interface.inputs.variables[var].type.simple = types_pb2.INTEGER
        template.interface.outputs.variables["o0"].type.simple = types_pb2.INTEGER
        template.fixed_inputs.CopyFrom(literal_map(given))

    def _arm(self, branch_id: str, flow: Flow) -> workflow_pb2.Node:
        (node,) = flow.nodes
        self.tasks |= {f"{branch_id}-{flow.name}-{key}": template for key, template in flow.tasks.items()}
        self.subs.extend(flow.subs)
        return node

    def _node(
        self, node_id: str, inputs: Mapping[str, Any], after: Iterable[str], metadata: Mapping[str, Any]
    ) -> workflow_pb2.Node:
        node = workflow_pb2.Node(
            id=node_id,
            inputs=bindings(inputs),
            upstream_node_ids=after,
            metadata=workflow_pb2.NodeMetadata(name=node_id),
        )
        for key, value in metadata.items():
            if key == "timeout":
                node.metadata.timeout.FromTimedelta(timedelta(seconds=value))
            elif key == "node_retries":
                node.metadata.retries.retries = value
            elif key == "interruptible":
                node.metadata.interruptible = value
            elif key == "cache":
                # Its version.
                node.metadata.cacheable, node.metadata.cache_version = True, value
            elif key == "serialize":
                node.metadata.cache_serializable = value
            else:
                raise TypeError(key)
        self.nodes.append(node)
        return node

    def compiled(self) -> compiler_pb2.CompiledWorkflow:
        start = workflow_pb2.Node(id="start-node")
        end = workflow_pb2.Node(id="end-node", inputs=bindings(self.outputs))
        template = workflow_pb2.WorkflowTemplate(
            id=identifier("WORKFLOW", self.name),
            metadata=self.metadata,
            nodes=[start, end, *map(with_arms_named, self.nodes)],
            failure_node=self.failure_node,
            interface=self.template().interface,
        )
        template.metadata_defaults.interruptible = self.interruptible
        return compiler_pb2.CompiledWorkflow(template=template)

    def template(self) -> workflow_pb2.WorkflowTemplate:
        """The workflow as a client sends it."""
        template = workflow_pb2.WorkflowTemplate(
            id=identifier("WORKFLOW", self.name), nodes=self.nodes, failure_node=self.failure_node
        )
        template.outputs.extend(bindings(self.outputs))
        handling = [self.failure_node] if self.failure_node is not None else []
        inner = [source for node in (*self.nodes, *handling) for part in with_arms(node) for source in part.inputs]
        for var in {bound.binding.promise.var for bound in inner if is_input(bound.binding)}:
            template.interface.inputs.variables[var].type.simple = types_pb2.INTEGER
        for var in self.outputs:
            template.interface.outputs.variables[var].type.simple = types_pb2.INTEGER
        return template

    def job_spec(self) -> dynamic_job_pb2.DynamicJobSpec:
        """The workflow as a dynamic task asks for it."""
        subs = self.nested()
        templates = {sub.name: sub.template() for sub in subs.values()}
        for node in (node for flow in (self, *subs.values()) for node in flow.nodes):
            if node.workflow_node.sub_workflow_ref.name in templates:
                variables = templates[node.workflow_node.sub_workflow_ref.name].interface.inputs.variables
                for bound in node.inputs:
                    variables[bound.var].type.simple = types_pb2.INTEGER
        return dynamic_job_pb2.DynamicJobSpec(
            nodes=self.nodes,
            outputs=bindings(self.outputs),
            tasks=[template for flow in (self, *subs.values()) for template in flow.tasks.values()],
            subworkflows=templates.values(),
            min_successes=len(self.nodes),
        )

    def nested(self) -> dict[str, Flow]:
        found = {sub.name: sub for sub in self.subs}
        for sub in self.subs:
            found |= sub.nested()
        return found

    def closure(self) -> compiler_pb2.CompiledWorkflowClosure:
        subs = self.nested()
        templates = [template for flow in (self, *subs.values()) for template in flow.tasks.values()]
        return compiler_pb2.CompiledWorkflowClosure(
            primary=self.compiled(),
            sub_workflows=[sub.compiled() for sub in subs.values()],
            tasks=[compiler_pb2.CompiledTask(template=template) for template in templates],
            launch_plans=[known for flow in (self, *subs.values()) for known in flow.launch_plans.values()],
        )


def with_arms(node: workflow_pb2.Node) -> Iterable[workflow_pb2.Node]:
    """The node, and those inside a conditional."""
    yield node
    if node.HasField("branch_node"):
        if_else = node.branch_node.if_else
        arms = [if_else.case.then_node, *(block.then_node for block in if_else.other)]
        for arm in (*arms, if_else.else_node) if if_else.HasField("else_node") else arms:
            yield from with_arms(arm)


def with_arms_named(node: workflow_pb2.Node) -> workflow_pb2.Node:
    """The node as it is compiled: the ids of a branch's arms begin with the branch's."""
    named = workflow_pb2.Node()
    named.CopyFrom(node)
    if node.HasField("branch_node"):
        if_else = named.branch_node.if_else
        arms = [if_else.case.then_node, *(block.then_node for block in if_else.other)]
        for arm in (*arms, if_else.else_node) if if_else.HasField("else_node") else arms:
            arm.id = f"{node.id}-{arm.id}"
            arm.CopyFrom(with_arms_named(arm))
    return named


def when(left: Any, sign: str, right: Any) -> condition_pb2.BooleanExpression:
    """A comparison of inputs, outputs (`From`) and constants."""
    operator = condition_pb2.ComparisonExpression.Operator.Value(sign)
    comparison = condition_pb2.ComparisonExpression(
        operator=operator, left_value=operand(left), right_value=operand(right)
    )
    return condition_pb2.BooleanExpression(comparison=comparison)


def joined(
    left: condition_pb2.BooleanExpression, sign: str, right: condition_pb2.BooleanExpression
) -> condition_pb2.BooleanExpression:
    operator = condition_pb2.ConjunctionExpression.LogicalOperator.Value(sign)
    conjunction = condition_pb2.ConjunctionExpression(operator=operator, left_expression=left, right_expression=right)
    return condition_pb2.BooleanExpression(conjunction=conjunction)


def operand(value: Any) -> condition_pb2.Operand:
    if isinstance(value, From):
        return condition_pb2.Operand(var=f"{value.node}.{value.var}")
    scalar = literal(value).scalar
    if scalar.HasField("primitive"):
        return condition_pb2.Operand(primitive=scalar.primitive)
    return condition_pb2.Operand(scalar=scalar)


def variables_of(condition: condition_pb2.BooleanExpression) -> set[str]:
    if condition.HasField("conjunction"):
        both = condition.conjunction
        return variables_of(both.left_expression) | variables_of(both.right_expression)
    sides = (condition.comparison.left_value, condition.comparison.right_value)
    return {side.var for side in sides if side.var}


def identifier(kind: str, name: str) -> identifier_pb2.Identifier:
    resource_type = identifier_pb2.ResourceType.Value(kind)
    return identifier_pb2.Identifier(resource_type=resource_type, project="p", domain="d", name=name, version="v1")


# ---------------------------------------------------------------------------------------------------- stories


def told(fact: Message) -> str:
    """A fact in a line: its name, what it is about, and what matters of it."""
    words = [type(fact).__name__]
    about = fact.node.node_id if isinstance(fact, facts_pb2.CacheAsked) else getattr(fact, "node_id", "")
    if about and not isinstance(fact, facts_pb2.ExecutionFailing):
        attempt = getattr(fact, "attempt", None)
        words.append(about if attempt is None else f"{about}#{attempt}")
    if isinstance(fact, facts_pb2.TimerSet):
        words[1:] = [fact.timer_id]
    if isinstance(fact, facts_pb2.AttemptProgressed):
        words.append(TaskExecution.Phase.Name(fact.phase))
    error = getattr(fact, "error", None)
    if error is not None and fact.HasField("error"):
        words.append(error.code)
    return " ".join(words)


class Story:
    """One execution, driven by commands."""

    def __init__(
        self,
        flow: Flow | compiler_pb2.CompiledWorkflowClosure,
        inputs: Mapping[str, Any] | None = None,
        *,
        settings: engine.EngineSettings | None = None,
        parallelism: int = 0,
        change: Callable[[facts_pb2.ExecutionCreated], None] | None = None,
    ) -> None:
        closure = flow.closure() if isinstance(flow, Flow) else flow
        self.flow = flow
        self.program = engine.Program.parse(closure)
        self.settings = settings or engine.EngineSettings(retry_backoff_base=timedelta())
        self.now = MORNING
        self.blobs: dict[str, bytes] = {}
        self.lost: dict[str, str] = {}
        self.history: list[Message] = []
        self.state: engine.Execution | None = None
        self._versions = 0
        inputs_ref = self.put(f"s3://bucket/metadata/p/d/{NAME}/inputs", literal_map(inputs or {}))
        created = facts_pb2.ExecutionCreated(
            inputs=inputs_ref,
            closure=DataRef(uri="s3://bucket/closures/1", sha256=b"1" * 32),
            config=facts_pb2.ResolvedConfig(
                max_parallelism=parallelism, metadata_prefix=WORKFLOW_DIR, raw_output_prefix="s3://bucket/data"
            ),
        )
        created.id.project, created.id.domain, created.id.name = "p", "d", NAME
        created.workflow_id.CopyFrom(closure.primary.template.id)
        if change is not None:
            change(created)
        self.does(engine.CreateExecution(created))

    def recovered(self, flow: Flow | None = None, inputs: Mapping[str, Any] | None = None, **options: Any) -> Story:
        """An execution that recovers this one: of the same workflow, with the same inputs, under another name."""
        assert self.state is not None
        created = self.state.created
        earlier = None
        if created.HasField("recovery"):
            earlier = facts_pb2.RecoveryPlan.FromString(self.blobs[created.recovery.uri])
        plan = engine.recovery_plan(self.history, earlier).SerializeToString(deterministic=True)
        name = f"r{created.id.name[:-1]}"
        plan_ref = DataRef(uri=f"s3://bucket/plans/{name}", sha256=hashlib.sha256(plan).digest(), size_bytes=len(plan))

        def change(again: facts_pb2.ExecutionCreated) -> None:
            again.id.name = name
            again.config.metadata_prefix = f"s3://bucket/metadata/propeller/p-d-{name}"
            again.recovery.CopyFrom(plan_ref)

        source = flow or self.flow
        given = plain_map(literals_pb2.LiteralMap.FromString(self.blobs[created.inputs.uri]))
        story = Story(source, given if inputs is None else inputs, change=change, settings=self.settings, **options)
        story.blobs = {**self.blobs, **story.blobs, plan_ref.uri: plan}
        story.lost = dict(self.lost)
        return story

    # -- commands; each returns what was decided, told in lines

    def start(self) -> list[str]:
        return self.does(engine.StartExecution())

    def terminate(self, cause: str = "enough", *, force: bool = False) -> list[str]:
        return self.does(engine.TerminateExecution(cause, "user", force))

    def sets(self, signal_id: str, value: Any) -> list[str]:
        return self.does(engine.SetSignal(signal_id, literal(value), "user"))

    def fire(self, timer_id: str) -> list[str]:
        return self.does(engine.FireTimer(timer_id))

    def sees(self, node: str, stage: str, attempt: int = 0, version: int | None = None, **fields: Any) -> list[str]:
        """A non-final observation, or a final one that needs no result."""
        return self.does(engine.ObserveAttempt(self.observation(node, stage, attempt, version, **fields)))

    def succeeds(
        self, node: str, attempt: int = 0, outputs: Mapping[str, Any] | None = None, **result: Any
    ) -> list[str]:
        prefix = self.output_prefix(node)
        literals = literal_map(outputs if outputs is not None else {"o0": 1})
        ref = self.put(f"{prefix}/outputs.pb", literals)
        found = engine.AttemptResult(outputs=ref, literals=literals, **result)
        return self.does(engine.ObserveAttempt(self.observation(node, "EXITED", attempt), found))

    def asks(self, node: str, flow: Flow, attempt: int = 0, **found: Any) -> list[str]:
        """A dynamic task ends well, and asks for the nodes of a flow."""
        return self.does(self.asking(node, flow, attempt, **found))

    def asking(
        self, node: str, flow: Flow, attempt: int = 0, *, deck: bool = False, **found: Any
    ) -> engine.ObserveAttempt:
        spec = flow.job_spec()
        uri, data = f"{self.output_prefix(node)}/futures.pb", spec.SerializeToString(deterministic=True)
        ref = DataRef(uri=uri, sha256=hashlib.sha256(data).digest(), size_bytes=len(data))
        result = engine.AttemptResult(futures=engine.Futures(ref, spec, **found), deck=deck)
        return engine.ObserveAttempt(self.observation(node, "EXITED", attempt), result)

    def fails(
        self,
        node: str,
        attempt: int = 0,
        *,
        code: str = "USER:Boom",
        message: str = "boom",
        recoverable: bool = False,
        kind: ExecutionError.ErrorKind = ExecutionError.USER,
        **result: Any,
    ) -> list[str]:
        document = error_document(code, message, recoverable=recoverable, kind=kind)
        found = engine.AttemptResult(error=document, **result)
        return self.does(engine.ObserveAttempt(self.observation(node, "EXITED", attempt), found))

    def exits(self, node: str, code: int, attempt: int = 0, **how: Any) -> list[str]:
        observation = self.observation(node, "EXITED", attempt, exit=Exit(code=code, **how))
        return self.does(engine.ObserveAttempt(observation, engine.AttemptResult()))

    def child_succeeds(self, node: str, attempt: int = 0, outputs: Mapping[str, Any] | None = None) -> list[str]:
        child = self.last(facts_pb2.ChildExecutionRequested, node_id=node, attempt=attempt).execution_id.name
        literals = literal_map(outputs if outputs is not None else {"o0": 1})
        ref = self.put(f"s3://bucket/metadata/propeller/p-d-{child}/end-node/data/0/outputs.pb", literals)
        return self.does(engine.ObserveChild(node, attempt, WorkflowExecution.SUCCEEDED, ref))

    def child_fails(self, node: str, attempt: int = 0, *, code: str = "USER:Boom", message: str = "boom") -> list[str]:
        error = ExecutionError(code=code, message=message, kind=ExecutionError.USER)
        return self.does(engine.ObserveChild(node, attempt, WorkflowExecution.FAILED, error=error))

    def child_aborted(self, node: str, attempt: int = 0) -> list[str]:
        return self.does(engine.ObserveChild(node, attempt, WorkflowExecution.ABORTED))

    def does(self, command: engine.Command) -> list[str]:
        return [told(fact) for fact in self.decided(command)]

    def decided(self, command: engine.Command) -> tuple[Message, ...]:
        """Decides, checks what must hold always, and takes the facts in."""
        data: dict[str, literals_pb2.LiteralMap] = {}
        programs: dict[bytes, engine.Program] = {}
        offloaded: dict[str, literals_pb2.Literal] = {}
        recovery: engine.Recovery | None = None
        while True:
            context = engine.Context(
                self.now, self.program, data, self.settings, self.lost, programs, offloaded, recovery
            )
            try:
                decision = engine.decide(self.state, command, context)
                break
            except engine.NeedRecovery as need:
                assert recovery is None, "asked again for what it was given"
                recovery = engine.Recovery.of(facts_pb2.RecoveryPlan.FromString(self.blobs[need.plan.uri]))
                continue
            except engine.NeedProgram as need:
                closure = need.closure
            except engine.NeedData as need:
                closure, asked, single = None, need.uris, need.offloaded
            if closure is not None:
                assert closure.sha256 not in programs, "asked again for what it was given"
                programs[closure.sha256] = self._program(closure)
                continue
            assert asked or single
            assert not set(asked) & set(data) | set(single) & set(offloaded), "asked again for what it was given"
            found = set(asked) - set(self.lost)
            data |= {uri: literals_pb2.LiteralMap.FromString(self.blobs[uri]) for uri in found}
            offloaded |= {uri: literals_pb2.Literal.FromString(self.blobs[uri]) for uri in set(single) - set(self.lost)}
        again = engine.decide(self.state, command, context)
        assert list(map(serialized, decision.facts)) == list(map(serialized, again.facts))
        assert decision.blobs == again.blobs
        for blob in decision.blobs:
            assert self.blobs.get(blob.uri, blob.data) == blob.data, f"{blob.uri} is written twice with other content"
            self.blobs[blob.uri] = blob.data
        for uri, literals in decision.data.items():
            assert literals_pb2.LiteralMap.FromString(self.blobs[uri]) == literals
        self.history.extend(decision.facts)
        if decision.facts:
            assert decision.state == engine.fold(decision.facts, self.state)
        self.state = decision.state
        return decision.facts

    def observation(
        self, node: str, stage: str, attempt: int = 0, version: int | None = None, **fields: Any
    ) -> AttemptObserved:
        self._versions += 1
        return AttemptObserved(
            node_id=node,
            attempt=attempt,
            stage=AttemptObserved.Stage.Value(stage),
            version=self._versions if version is None else version,
            **fields,
        )

    def _program(self, closure: DataRef) -> engine.Program:
        if closure.uri in self.lost:
            return engine.Program.unrunnable(self.lost[closure.uri])
        stored = self.blobs[closure.uri]
        assert closure.sha256 == hashlib.sha256(stored).digest()
        return engine.Program.parse(compiler_pb2.CompiledWorkflowClosure.FromString(stored))

    # -- what came of it

    def put(self, uri: str, literals: literals_pb2.LiteralMap) -> DataRef:
        data = literals.SerializeToString(deterministic=True)
        self.blobs[uri] = data
        return DataRef(uri=uri, sha256=hashlib.sha256(data).digest(), size_bytes=len(data))

    def data(self, ref: DataRef) -> dict[str, Any]:
        stored = self.blobs[ref.uri]
        assert ref.sha256 == hashlib.sha256(stored).digest()
        assert ref.size_bytes == len(stored)
        return plain_map(literals_pb2.LiteralMap.FromString(stored))

    def node(self, node_id: str) -> engine.NodeState:
        assert self.state is not None
        return self.state.nodes[node_id]

    def output_prefix(self, node_id: str) -> str:
        attempt = self.node(node_id).attempt
        assert attempt is not None
        return attempt.output_prefix

    @property
    def phase(self) -> str:
        assert self.state is not None
        return self.state.phase.name

    def phases(self) -> dict[str, str]:
        assert self.state is not None
        return {node_id: node.phase.name for node_id, node in sorted(self.state.nodes.items())}

    def last(self, kind: type[F], /, **fields: Any) -> F:
        """The latest fact of a kind with these values."""
        for fact in reversed(self.history):
            if isinstance(fact, kind) and all(getattr(fact, key) == value for key, value in fields.items()):
                return fact
        raise AssertionError(f"no {kind.__name__} with {fields}")

    def has(self, kind: type[Message], /, **fields: Any) -> bool:
        return any(
            isinstance(fact, kind) and all(getattr(fact, key) == value for key, value in fields.items())
            for fact in self.history
        )

    def outputs(self) -> dict[str, Any]:
        return self.data(self.last(facts_pb2.ExecutionSucceeded).outputs)

    def error(self) -> ExecutionError:
        return self.last(facts_pb2.ExecutionFailed).error


def error_document(
    code: str, message: str = "", *, recoverable: bool = False, kind: ExecutionError.ErrorKind = ExecutionError.USER
) -> errors_pb2.ErrorDocument:
    error = errors_pb2.ContainerError(code=code, message=message, kind=int(recoverable), origin=kind)
    return errors_pb2.ErrorDocument(error=error)


def serialized(fact: Message) -> bytes:
    return fact.SerializeToString(deterministic=True)
