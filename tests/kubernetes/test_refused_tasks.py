"""Tasks that no pod can be made of fail for good, and leave nothing behind (k8s-contract §9.1, T10, T26, T28, T32)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.objects import POD_TEMPLATE
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching, task


def needing_an_input() -> tasks_pb2.TaskTemplate:
    made = task()
    made.container.args.append("--n={{.inputs.n}}")
    return made


def of_an_absent_template() -> tasks_pb2.TaskTemplate:
    made = task()
    made.metadata.pod_template_name = "absent"
    return made


def sidecar_without_primary() -> tasks_pb2.TaskTemplate:
    made = task(kind="sidecar", container=False)
    made.task_type_version = 1
    made.custom.update({"containers": [{"name": "main", "image": "i"}]})
    return made


def of_a_volume_that_is_taken() -> tasks_pb2.TaskTemplate:
    made = task(container=False)
    made.config["primary_container_name"] = "main"
    volumes = [{"name": "flyte-shared-memory", "emptyDir": {}}]
    made.k8s_pod.pod_spec.update({"containers": [{"name": "main", "image": "i"}], "volumes": volumes})
    made.extended_resources.shared_memory.mount_name = "flyte-shared-memory"
    made.extended_resources.shared_memory.mount_path = "/dev/shm"
    return made


def no_pod_at_all() -> tasks_pb2.TaskTemplate:
    made = task(container=False)
    made.config["primary_container_name"] = "main"
    made.k8s_pod.pod_spec.update({"containers": "main"})
    return made


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(needing_an_input, "'n'", id="T10"),
        pytest.param(of_a_volume_that_is_taken, "'flyte-shared-memory' already", id="T26"),
        pytest.param(of_an_absent_template, "'absent'", id="T28"),
        pytest.param(sidecar_without_primary, "primary_container_name", id="T32"),
        (no_pod_at_all, "containers must be a list, not a text"),
    ],
)
async def test_task_that_is_no_pod_fails_for_good(
    launching: Launching, make: Callable[[], tasks_pb2.TaskTemplate], why: str
) -> None:
    one = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=1)))
    others = literals_pb2.LiteralMap(literals={"other": one}).SerializeToString()
    inputs = await launching.blobs.put(launching.blobs.uri("raw", launching.project, "inputs.pb"), others)
    async with launching.launcher():
        fact = await launching.schedule(make(), inputs=inputs)
        ended = await launching.end(fact)
    assert (ended.stage, ended.error.code) == (AttemptObserved.NOT_LAUNCHED, "FailedToBuildResource")
    assert ended.error.kind == execution_pb2.ExecutionError.USER
    assert not ended.recoverable
    assert why in ended.error.message
    assert await launching.pods() == []


async def test_template_made_a_moment_ago_is_found_and_inputs_are_put_into_commands(launching: Launching) -> None:
    made = needing_an_input()
    made.metadata.pod_template_name = "fresh"
    five = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=5)))
    literals = literals_pb2.LiteralMap(literals={"n": five}).SerializeToString()
    inputs = await launching.blobs.put(launching.blobs.uri("raw", launching.project, "inputs.pb"), literals)
    async with launching.launcher():
        spec = {"hostname": "fresh", "containers": [{"name": "default", "image": "noop"}]}
        fresh = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "fresh"}, "template": {"spec": spec}}
        await launching.api.create(POD_TEMPLATE, launching.namespace, fresh)
        fact = await launching.schedule(made, inputs=inputs)
        pod = await until(lambda: launching.pod(fact))
    assert pod is not None
    assert pod["spec"]["hostname"] == "fresh"
    assert pod["spec"]["containers"][0]["args"] == ["true", "--n=5"]
