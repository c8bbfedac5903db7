"""What is no pod is refused before anything is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core import tasks_pb2
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.k8s_launcher.kubernetes.objects import Task
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.pods.tasks import pod_task, settings, task, template

MAIN = {"name": "primary", "image": "i"}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"containers": "primary"}, "containers must be a list, not a text"),
        ({"containers": ["primary"]}, r"containers\[0\] must be an object, not a text"),
        ({"containers": [{**MAIN, "env": {"A": "1"}}]}, r"containers\[0\].env must be a list, not an object"),
        ({"containers": [{**MAIN, "args": [["a"]]}]}, r"args\[0\] must be a text, not a list"),
        ({"containers": [{**MAIN, "resources": {"limits": {"cpu": True}}}]}, "cpu must be a text, not a truth value"),
        ({"containers": [MAIN], "affinity": []}, "affinity must be an object, not a list"),
        ({"containers": [MAIN], "volumes": [None]}, r"volumes\[0\] must be an object, not nothing"),
        ({"containers": [MAIN, {"image": "i"}]}, r"containers\[1\] has no name"),
        ({"containers": [{**MAIN, "volumeMounts": [{"name": "v"}]}]}, r"volumeMounts\[0\] has no mountPath"),
        ({"containers": [{**MAIN, "env": [{"value": "v"}]}]}, r"env\[0\] has no name"),
    ],
)
def test_words_say_what_is_wrong_and_where(spec: dict[str, Any], why: str) -> None:
    made = Struct()
    made.update(spec)
    of = template(k8s_pod=tasks_pb2.K8sPod(pod_spec=made), config={"primary_container_name": "primary"})
    with pytest.raises(NotLaunchable, match=why):
        build_pod(task(of))


def test_numbers_are_words_too() -> None:
    spec = build_pod(task(pod_task({**MAIN, "command": ["sleep"], "args": [5, 0.5]}))).manifest["spec"]
    assert spec["containers"][0]["args"] == ["5", "0.5"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda below: (
        st.lists(below, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("name", "env", "args", "resources", "limits", "requests", "cpu", "volumeMounts", "valueFrom"),
                    *("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"),
                ]
            ),
            below,
            max_size=3,
        )
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["containers", "initContainers", "affinity", "tolerations", "volumes", "nodeSelector", "securityContext"]
)


@given(st.dictionaries(FIELDS, JSON, max_size=3), JSON)
def test_whatever_is_written_is_built_or_refused(spec: dict[str, Any], container: Any) -> None:
    made = Struct()
    made.update({"containers": [MAIN, container], **spec})
    of = template(
        k8s_pod=tasks_pb2.K8sPod(pod_spec=made),
        config={"primary_container_name": "primary"},
        extended_resources=tasks_pb2.ExtendedResources(
            gpu_accelerator=tasks_pb2.GPUAccelerator(device="d"),
            shared_memory=tasks_pb2.SharedMemory(mount_name="shm", mount_path="/dev/shm"),
        ),
    )
    required = {"key": "a", "operator": "Exists"}
    attempt = task(
        of,
        settings_of=settings(
            default_tolerations=[required],
            default_node_selector={"a": "b"},
            non_interruptible_node_selector_requirement=required,
        ),
        pod_template={"spec": {"containers": [{"name": "default", "env": [{"name": "A", "value": "1"}]}]}},
    )
    assert _codes(attempt) in ([], ["FailedToBuildResource"])


def _codes(attempt: Task) -> list[str]:
    try:
        build_pod(attempt)
    except NotLaunchable as refusal:
        return [refusal.code]
    return []


def test_affinity_of_the_settings_must_be_one() -> None:
    with pytest.raises(ValidationError, match="nodeSelectorTerms must be a list"):
        settings(
            default_affinity={
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": {}}}
            }
        )
