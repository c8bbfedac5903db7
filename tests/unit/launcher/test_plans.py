"""From a scheduled attempt to what is run: the template's container, a node's overrides, secrets and variables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin.matchable_resource_pb2 import TaskResourceAttributes, TaskResourceSpec
from flyteidl.core import compiler_pb2, literals_pb2, tasks_pb2, types_pb2

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.process.plans import Plan, Planner
from services.k8s_launcher.task_templates import NotLaunchable

CPU, MEMORY, GPU = tasks_pb2.Resources.CPU, tasks_pb2.Resources.MEMORY, tasks_pb2.Resources.GPU
Planning = Callable[..., Awaitable[Plan]]


@pytest.fixture
def plan(tmp_path: Path) -> Planning:
    """The plan of an attempt of a task, on an object store in a folder."""
    store = {
        "driver": "directory", "bucket": "b", "endpoint": "http://localhost", "access_key": "k", "secret_key": "s",
        "directory": tmp_path,
    }  # fmt: skip
    blobs = BlobStore.open(BlobSettings.model_validate(store))
    planner = Planner(blobs, environment={"FROM": "operator"}, base_environment={"FLYTE_PLATFORM_URL": "here:1"})

    async def planned(
        template: tasks_pb2.TaskTemplate, inputs: dict[str, literals_pb2.Literal] | None = None, **fields: Any
    ) -> Plan:
        closure = compiler_pb2.CompiledWorkflowClosure(tasks=[compiler_pb2.CompiledTask(template=template)])
        fact = AttemptScheduled(
            task_id=template.id,
            closure=await blobs.put_content("closures", closure.SerializeToString()),
            inputs=await blobs.put("s3://b/in", literals_pb2.LiteralMap(literals=inputs or {}).SerializeToString()),
            output_prefix="s3://b/n0/data/0",
            **fields,
        )
        return await planner.plan(fact, tmp_path / "work")

    return planned


def container(**fields: Any) -> tasks_pb2.TaskTemplate:
    return tasks_pb2.TaskTemplate(container=tasks_pb2.Container(image="task:1", args=["run"], **fields))


def resources(cpu: str = "", memory: str = "", gpu: str = "", *, limit: str = "") -> tasks_pb2.Resources:
    entries = [(CPU, cpu), (MEMORY, memory), (GPU, gpu)]
    return tasks_pb2.Resources(
        requests=[tasks_pb2.Resources.ResourceEntry(name=name, value=value) for name, value in entries if value],
        limits=[tasks_pb2.Resources.ResourceEntry(name=MEMORY, value=limit)] if limit else [],
    )


def pod(*containers: dict[str, Any], primary: str = "primary", **spec: Any) -> tasks_pb2.K8sPod:
    made = tasks_pb2.K8sPod(primary_container_name=primary)
    made.pod_spec.update({"containers": list(containers), **spec})
    return made


async def test_nodes_overrides_go_before_the_template(plan: Planning) -> None:
    made = await plan(
        container(resources=resources("1", "1Gi", limit="2Gi")),
        container_image="node:2",
        resources=resources("500m", gpu="1", limit="4Gi"),
        extended_resources=tasks_pb2.ExtendedResources(gpu_accelerator={"device": "nvidia-l4"}),
    )
    assert made.image == "node:2"
    assert made.requests == {"cpu": Decimal("0.5"), "memory": Decimal(2**30), "nvidia.com/gpu": 1}
    assert made.memory_limit == 4 * 2**30
    assert made.accelerator == "nvidia-l4"


async def test_the_platform_completes_and_cuts_what_is_asked_for(plan: Planning) -> None:
    platform = TaskResourceAttributes(
        defaults=TaskResourceSpec(cpu="500m", memory="1Gi", gpu="1"),
        limits=TaskResourceSpec(cpu="2", memory="2Gi", gpu="1"),
    )
    nothing = await plan(container(), task_resources=platform)
    assert nothing.requests == {"cpu": Decimal("0.5"), "memory": 2**30}
    assert nothing.memory_limit == 2 * 2**30
    much = await plan(container(resources=resources("8", "8Gi", "4", limit="8Gi")), task_resources=platform)
    assert much.requests == {"cpu": 2, "memory": 2 * 2**30, "nvidia.com/gpu": 1}
    assert much.memory_limit == 2 * 2**30
    little = await plan(container(resources=resources("1", "1Mi", limit="2Mi")), task_resources=platform)
    assert (little.requests, little.memory_limit) == ({"cpu": 1, "memory": 2**20}, 2**21)


async def test_a_platform_without_amounts_gives_and_cuts_nothing(plan: Planning) -> None:
    unlimited = TaskResourceAttributes(limits=TaskResourceSpec(cpu="0"))
    made = await plan(container(resources=resources("8", "8Gi")), task_resources=unlimited)
    assert (made.requests, made.memory_limit) == ({"cpu": 8, "memory": 8 * 2**30}, 0)
    with pytest.raises(NotLaunchable, match="task resources of the platform"):
        await plan(container(), task_resources=TaskResourceAttributes(limits=TaskResourceSpec(cpu="lots")))


async def test_nodes_pod_template_is_laid_over_the_container(plan: Planning) -> None:
    over = pod(
        {
            "name": "primary",
            "image": "pod:3",
            "env": [{"name": "A", "value": "pod"}, {"name": "C", "value": "pod"}],
            "resources": {"requests": {"cpu": "4", "memory": "3Gi"}},
        }
    )
    template = container(
        env=[{"key": "A", "value": "task"}, {"key": "B", "value": "task"}], resources=resources(cpu="1")
    )
    made = await plan(template, pod_template=over)
    assert (made.image, made.argv) == ("pod:3", ("run",))
    assert {name: made.environment[name] for name in "ABC"} == {"A": "pod", "B": "task", "C": "pod"}
    assert made.requests == {"cpu": 1, "memory": 3 * 2**30}


async def test_nodes_pod_template_without_the_tasks_container_changes_nothing_of_it(plan: Planning) -> None:
    made = await plan(container(), pod_template=pod(nodeSelector={"disk": "ssd"}))
    assert (made.image, made.argv) == ("task:1", ("run",))


async def test_pod_template_is_laid_over_a_pod_too(plan: Planning) -> None:
    template = tasks_pb2.TaskTemplate(k8s_pod=pod({"name": "main", "image": "task:1", "command": ["run"]}))
    template.config["primary_container_name"] = "main"
    made = await plan(template, pod_template=pod({"name": "primary", "image": "pod:3", "args": ["other", "way"]}))
    assert (made.image, made.argv) == ("pod:3", ("other", "way"))


@pytest.mark.parametrize(
    "over",
    [pod({"name": "primary"}, {"name": "sidecar"}), pod({"name": "sidecar"}), pod(initContainers=[{"name": "early"}])],
)
async def test_further_containers_are_refused(plan: Planning, over: tasks_pb2.K8sPod) -> None:
    with pytest.raises(NotLaunchable, match="the process runtime runs one") as refused:
        await plan(container(), pod_template=over)
    assert refused.value.code == "BadTaskSpecification"


async def test_pod_without_its_primary_container_is_refused(plan: Planning) -> None:
    template = tasks_pb2.TaskTemplate(k8s_pod=pod({"name": "other"}, primary="main"))
    with pytest.raises(NotLaunchable) as refused:
        await plan(template)
    assert refused.value.code == "PrimaryContainerNotFound"


async def test_secrets_that_the_task_asks_for_are_in_its_plan(plan: Planning) -> None:
    template = container()
    template.security_context.secrets.add(group="g", key="k")
    assert [(secret.group, secret.key) for secret in (await plan(template)).secrets] == [("g", "k")]


async def test_variables_come_from_everywhere(plan: Planning) -> None:
    made = await plan(container(env=[{"key": "FLYTE_PLATFORM_URL", "value": "there:2"}]))
    assert made.environment["FLYTE_PLATFORM_URL"] == "there:2"
    assert made.environment["FROM"] == "operator"


async def test_inputs_are_rendered_into_the_command(plan: Planning) -> None:
    template = container()
    template.container.args[:] = ["say", "{{.inputs.x}}", "{{.outputPrefix}}"]
    x = literals_pb2.Literal(scalar={"primitive": {"integer": 3}})
    assert (await plan(template, {"x": x})).argv == ("say", "3", "s3://b/n0/data/0")


async def test_input_without_a_text_form_is_an_error_of_the_user(plan: Planning) -> None:
    template = container()
    template.container.args[:] = ["{{.inputs.x}}"]
    with pytest.raises(NotLaunchable, match="'x'") as refused:
        await plan(template, {"x": literals_pb2.Literal(map={})})
    assert (refused.value.code, refused.value.system) == ("FailedToBuildResource", False)


@pytest.mark.parametrize(
    ("previous", "rendered"),
    [
        ("", '""'),
        ("s3://b/left/_flytecheckpoints", "s3://b/left/_flytecheckpoints"),
        ("s3://b/nothing-left/_flytecheckpoints", '""'),
        ("gs://elsewhere/_flytecheckpoints", "gs://elsewhere/_flytecheckpoints"),
    ],
)
async def test_checkpoint_of_the_attempt_before_is_named_where_there_is_one(
    plan: Planning, tmp_path: Path, previous: str, rendered: str
) -> None:
    left = tmp_path / "b" / "left" / "_flytecheckpoints" / "model"
    left.mkdir(parents=True)
    (left / "weights").write_bytes(b"1")
    template = container()
    template.container.args[:] = ["run", "{{.prevCheckpointPrefix}}"]
    assert (await plan(template, previous_checkpoint_prefix=previous)).argv == ("run", rendered)


def raw_task(command: str, *, inputs: str = "/var/inputs", outputs: str = "/var/outputs") -> tasks_pb2.TaskTemplate:
    template = tasks_pb2.TaskTemplate(type="raw-container")
    template.container.args.extend(["sh", "-c", command])
    template.container.env.add(key="DATA", value=f"{inputs}/x")
    config = template.container.data_config
    config.enabled, config.input_path, config.output_path = True, inputs, outputs
    template.interface.inputs.variables["x"].type.simple = types_pb2.STRING
    template.interface.outputs.variables["y"].type.simple = types_pb2.INTEGER
    return template


@pytest.mark.parametrize(
    ("command", "here"),
    [
        ("tool /var/inputs/x --to=/var/outputs", "tool IN/x --to=OUT"),
        ("cat </var/inputs/x>/var/outputs/y;", "cat <IN/x>OUT/y;"),
        (
            "tool /var/inputs2 /var/inputs.old /my/var/inputs var/inputs",
            "tool /var/inputs2 /var/inputs.old /my/var/inputs var/inputs",
        ),
        ("'/var/inputs'/x:/var/inputs", "'IN'/x:IN"),
        ("{{.inputs.x}} /var/inputs/x", "/var/inputs/mine IN/x"),
    ],
)
async def test_folders_of_a_raw_container_are_the_attempts(
    plan: Planning, tmp_path: Path, command: str, here: str
) -> None:
    literal = literals_pb2.Literal(scalar={"primitive": {"string_value": "/var/inputs/mine"}})
    made = await plan(raw_task(command), {"x": literal})
    work = tmp_path / "work"
    assert made.argv[2] == here.replace("IN", f"{work}/inputs").replace("OUT", f"{work}/outputs")
    assert made.environment["DATA"] == f"{work}/inputs/x"
    assert made.raw is not None


async def test_of_folders_within_one_another_the_inner_one_counts(plan: Planning, tmp_path: Path) -> None:
    made = await plan(raw_task("/data/out/y /data/x", inputs="/data", outputs="/data/out/"))
    assert made.argv[2] == f"{tmp_path}/work/outputs/y {tmp_path}/work/inputs/x"


async def test_raw_container_whose_data_cannot_be_copied_is_refused(plan: Planning) -> None:
    with pytest.raises(NotLaunchable, match="same folder") as refused:
        await plan(raw_task("run", outputs="/var/inputs"))
    assert refused.value.code == "BadTaskSpecification"
