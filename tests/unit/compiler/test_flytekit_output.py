"""What flytekit registers compiles, and flytekit reads the result."""

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shutil import copy

import pytest
from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2
from flytekit.models.core import compiler as models
from flytekit.models.core.identifier import Identifier
from flytekit.models.launch_plan import LaunchPlanSpec
from flytekit.remote.entities import FlyteWorkflow

from flightlog_compiler import (
    CompileErrors,
    EntityKey,
    LaunchPlanInterface,
    compile_task,
    compile_workflow,
    generated_workflow,
    requirements,
)
from tests.warm_scripts import WarmPyflyte

_TESTS = Path(__file__).parents[2]
_MODULES = [
    _TESTS / "recordings" / "workflows.py",
    *sorted((_TESTS / "integration" / "flytekit" / "workflows").glob("*.py")),
]


@dataclass
class Package:
    """All that `pyflyte package` made of one module."""

    tasks: dict[EntityKey, compiler_pb2.CompiledTask] = field(default_factory=dict)
    workflows: dict[EntityKey, workflow_pb2.WorkflowSpec] = field(default_factory=dict)
    launch_plans: dict[EntityKey, LaunchPlanInterface] = field(default_factory=dict)
    specs: dict[EntityKey, launch_plan_pb2.LaunchPlanSpec] = field(default_factory=dict)

    def compile(self, name: str) -> compiler_pb2.CompiledWorkflowClosure:
        spec = next(s for s in self.workflows.values() if s.template.id.name.endswith(f".{name}"))
        return compile_workflow(spec.template, spec.sub_workflows, self.tasks, self.launch_plans)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory, warm_pyflyte: WarmPyflyte) -> Callable[[Path], Package]:
    """Packages a module once, however many tests look at it."""
    environment = dict(os.environ)
    return cache(lambda module: _packaged(warm_pyflyte, environment, module, tmp_path_factory.mktemp("package")))


@pytest.fixture(params=_MODULES, ids=lambda path: path.stem)
def package(request: pytest.FixtureRequest, packages: Callable[[Path], Package]) -> Package:
    return packages(request.param)


@pytest.fixture
def recorded_package(packages: Callable[[Path], Package]) -> Package:
    return packages(_MODULES[0])


def _packaged(pyflyte: WarmPyflyte, environment: Mapping[str, str], module: Path, folder: Path) -> Package:
    source = folder / "source"
    source.mkdir()
    copy(module, source)
    archive = folder / "package.tgz"
    options = ["--image", "img:1", "--source", source, "--output", archive]
    arguments = ["--pkgs", module.stem, "package", *options]
    done = pyflyte.run(arguments, cwd=source, environment=environment, seconds=120)
    assert done.returncode == 0, done.stdout + done.stderr
    package = Package()
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as members:
        for member in sorted(members.getmembers(), key=lambda member: member.name):
            content = members.extractfile(member)
            assert content is not None
            match member.name.removesuffix(".pb")[-1]:
                case "1":
                    task = task_pb2.TaskSpec.FromString(content.read()).template
                    package.tasks[EntityKey.of(task.id)] = compile_task(task)
                case "2":
                    spec = workflow_pb2.WorkflowSpec.FromString(content.read())
                    package.workflows[EntityKey.of(spec.template.id)] = spec
                case _:
                    launch_plan = launch_plan_pb2.LaunchPlan.FromString(content.read())
                    key = EntityKey.of(launch_plan.id)
                    package.specs[key] = launch_plan.spec
                    package.launch_plans[key] = _interface(launch_plan, package)
    for spec in package.workflows.values():
        for missing in requirements(spec.template, spec.sub_workflows).launch_plan_ids:
            if EntityKey.of(missing) not in package.launch_plans:
                _refer(package, missing)
    return package


def _refer(package: Package, elsewhere: identifier_pb2.Identifier) -> None:
    """A launch plan of another domain, which no package of this one holds: it runs the workflow `launching`."""
    local = next(key for key in package.specs if key.name == "plan_launching")
    known, key = package.launch_plans[local], EntityKey.of(elsewhere)
    package.specs[key] = package.specs[local]
    package.launch_plans[key] = LaunchPlanInterface(elsewhere, known.expected_inputs, known.expected_outputs)


def _interface(launch_plan: launch_plan_pb2.LaunchPlan, package: Package) -> LaunchPlanInterface:
    """What the registry makes of a launch plan: every input of the workflow that is not fixed."""
    interface = package.workflows[EntityKey.of(launch_plan.spec.workflow_id)].template.interface
    expected = interface_pb2.ParameterMap()
    for name, variable in interface.inputs.variables.items():
        if name in launch_plan.spec.default_inputs.parameters:
            expected.parameters[name].CopyFrom(launch_plan.spec.default_inputs.parameters[name])
        elif name not in launch_plan.spec.fixed_inputs.literals:
            expected.parameters[name].CopyFrom(interface_pb2.Parameter(var=variable, required=True))
    return LaunchPlanInterface(launch_plan.id, expected, interface.outputs)


def _read_by_flytekit(closure: compiler_pb2.CompiledWorkflowClosure, package: Package) -> FlyteWorkflow:
    model = models.CompiledWorkflowClosure.from_flyte_idl(closure)
    # flytekit fetches the launch plans that nodes run one by one (admin-contract §3.3).
    ids = requirements(closure.primary.template, [sub.template for sub in closure.sub_workflows]).launch_plan_ids
    fetched = {
        Identifier.from_flyte_idl(one): LaunchPlanSpec.from_flyte_idl(package.specs[EntityKey.of(one)]) for one in ids
    }
    return FlyteWorkflow.promote_from_closure(model, node_launch_plans=fetched)


def test_every_workflow_compiles_and_flytekit_reads_it(package: Package) -> None:
    for key, spec in package.workflows.items():
        closure = compile_workflow(spec.template, spec.sub_workflows, package.tasks, package.launch_plans)
        user_nodes = [node.id for node in spec.template.nodes]
        assert [node.id for node in closure.primary.template.nodes] == ["start-node", "end-node", *user_nodes]
        assert closure.primary.connections.downstream["start-node"].ids
        read = _read_by_flytekit(closure, package)
        assert read.id.name == key.name
        assert {node.id for node in read.flyte_nodes} >= set(user_nodes)


def test_every_task_runs_by_itself(package: Package) -> None:
    for key, task in package.tasks.items():
        closure = generated_workflow(task)
        read = _read_by_flytekit(closure, package)
        assert read.id.name == f".flytegen.{key.name}"
        assert read.interface.inputs.keys() == set(task.template.interface.inputs.variables)


def test_a_compiled_closure_compiles_again_to_itself(package: Package) -> None:
    for spec in package.workflows.values():
        if any(node.HasField("branch_node") for node in spec.template.nodes):
            continue
        once = compile_workflow(spec.template, spec.sub_workflows, package.tasks, package.launch_plans)
        subs = [sub.template for sub in once.sub_workflows]
        assert compile_workflow(once.primary.template, subs, package.tasks, package.launch_plans) == once


def test_a_task_left_out_is_named(recorded_package: Package) -> None:
    spec = next(s for s in recorded_package.workflows.values() if s.template.id.name.endswith(".w01_chain"))
    with pytest.raises(CompileErrors, match="TaskReferenceNotFound"):
        compile_workflow(spec.template, spec.sub_workflows, {}, {})
