"""What containers ask for and what they get (k8s-contract §1.8): its worked examples, and each rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from flyteidl.admin import matchable_resource_pb2
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.kubernetes.pods.resources import Platform, Requirements
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.pods.tasks import container, pod_task, resources, settings, task, template

GPU = "nvidia.com/gpu"


def resources_of(made: Task, name: str | None = None, kind: str = "containers") -> Object:
    containers = build_pod(made).manifest["spec"][kind]
    return next(each for each in containers if name in (None, each["name"])).get("resources", {})


def both(**amounts: str) -> Object:
    found = {name.replace("gpu", GPU).replace("_", "-"): value for name, value in amounts.items()}
    return {"requests": found, "limits": found}


def in_pod(
    requests: Mapping[str, str] | None = None, limits: Mapping[str, str] | None = None, name: str = "primary"
) -> Object:
    return {"name": name, "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}}


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        ({}, {}, both(cpu="100m", memory="500Mi")),
        ({"cpu": "1"}, {}, both(cpu="1", memory="500Mi")),
        ({}, {"cpu": "1"}, both(cpu="1", memory="500Mi")),
        ({"gpu": "1"}, {}, both(cpu="100m", memory="500Mi", gpu="1")),
        ({"ephemeral_storage": "1Gi"}, {}, both(cpu="100m", memory="500Mi", ephemeral_storage="1Gi")),
        ({"cpu": "0", "gpu": "0"}, {"memory": "0"}, both(cpu="100m", memory="500Mi")),
        ({"storage": "5Gi"}, {}, both(cpu="100m", memory="500Mi")),
        (
            {"cpu": "500m", "memory": "100Mi"},
            {"cpu": "1500m"},
            {"requests": {"cpu": "500m", "memory": "100Mi"}, "limits": {"cpu": "1500m", "memory": "100Mi"}},
        ),
        ({"cpu": "1"}, {"cpu": "500m"}, both(cpu="500m", memory="500Mi")),
        (
            {"cpu": "0.5"},
            {"cpu": "1000m"},
            {"requests": {"cpu": "500m", "memory": "500Mi"}, "limits": {"cpu": "1", "memory": "500Mi"}},
        ),
    ],
)
def test_containers_of_tasks(requests: dict[str, str], limits: dict[str, str], expected: Object) -> None:
    made = template(container=container(requests=requests, limits=limits))
    assert resources_of(task(made)) == expected


@pytest.mark.parametrize(
    ("own", "over", "expected"),
    [
        (({}, {}), ({"cpu": "4"}, {}), both(cpu="2", memory="500Mi")),
        (({"cpu": "1"}, {}), ({"memory": "800Mi"}, {}), both(cpu="1", memory="800Mi")),
        # Requests are cut to the limits that the task has.
        (({"cpu": "1"}, {"cpu": "1"}), ({"cpu": "1500m"}, {}), both(cpu="1", memory="500Mi")),
        (({"gpu": "1"}, {}), ({}, {"gpu": "3"}), both(cpu="100m", memory="500Mi", gpu="1")),
    ],
)
def test_nodes_resources_go_before_the_tasks(own: Any, over: Any, expected: Object) -> None:
    made = template(container=container(requests=own[0], limits=own[1]))
    assert resources_of(task(made, resources=resources(*over))) == expected


def test_without_defaults_nothing_is_asked_for() -> None:
    assert resources_of(task(settings_of=settings({"defaults": {"cpu": None, "memory": "0"}}))) == {}


def test_without_limits_all_is_given() -> None:
    made = template(container=container(requests={"cpu": "64", "gpu": "8"}))
    unlimited = settings({"defaults": {"memory": "1Gi"}})
    assert resources_of(task(made, settings_of=unlimited)) == both(cpu="64", memory="1Gi", gpu="8")


def test_default_gpus_and_storage_are_for_containers_alone() -> None:
    platform = settings({"defaults": {"gpu": "1", "ephemeral_storage": "2Gi"}})
    assert resources_of(task(settings_of=platform)) == both(ephemeral_storage="2Gi", gpu="1")
    assert resources_of(task(pod_task({"name": "primary", "image": "i"}), settings_of=platform)) == {}


def test_resources_of_the_execution_take_the_settings_place_as_a_whole() -> None:
    of_execution = matchable_resource_pb2.TaskResourceAttributes(
        defaults=matchable_resource_pb2.TaskResourceSpec(cpu="300m"),
        limits=matchable_resource_pb2.TaskResourceSpec(gpu="2"),
    )
    made = template(container=container(requests={"gpu": "4", "memory": "100Gi"}))
    assert resources_of(task(made, task_resources=of_execution)) == both(cpu="300m", memory="100Gi", gpu="2")


def test_other_containers_are_kept_within_the_limits_and_get_no_defaults() -> None:
    made = pod_task(in_pod(), in_pod({"cpu": "3"}, {"memory": "200Mi"}, name="side"))
    assert resources_of(task(made), "side") == {"requests": {"cpu": "2"}, "limits": {"memory": "200Mi"}}


def test_gpus_of_a_container_are_as_many_as_its_limit() -> None:
    """Kubernetes refuses other requests of devices than their limits."""
    unlimited = settings({})
    made = template(container=container(requests={"gpu": "1"}, limits={"gpu": "1"}))
    found = resources_of(task(made, resources=resources({}, {"gpu": "4"}), settings_of=unlimited))
    assert found == both(cpu="100m", memory="500Mi", gpu="4")
    side = pod_task(in_pod(), in_pod({GPU: "1"}, {GPU: "2"}, name="side"), in_pod({GPU: "1"}, name="other"))
    assert resources_of(task(side, settings_of=unlimited), "side")["requests"][GPU] == "2"
    assert resources_of(task(side, settings_of=unlimited), "other")["limits"] == {"cpu": "0", "memory": "0", GPU: "1"}


def test_other_containers_that_ask_for_nothing_say_so() -> None:
    # A quota of limits refuses pods with containers that say nothing of them.
    made = pod_task(in_pod(), {"name": "side", "image": "i"}, in_pod({"memory": "1Gi"}, name="other"))
    assert resources_of(task(made), "side") == both(cpu="0", memory="0")
    assert resources_of(task(made), "other") == {"requests": {"cpu": "0", "memory": "1Gi"}, "limits": {"cpu": "0"}}


def test_init_containers_get_what_the_task_would() -> None:
    made = pod_task(in_pod(), spec={"initContainers": [{"name": "early", "image": "i"}]})
    assert resources_of(task(made), "early", "initContainers") == both(cpu="100m", memory="500Mi")


def test_template_fills_in_what_nobody_says() -> None:
    under = {"spec": {"containers": [in_pod({"cpu": "700m", "memory": "3Gi"}, name="primary")]}}
    made = template(container=container(requests={"memory": "600Mi"}))
    assert resources_of(task(made, pod_template=under)) == both(cpu="700m", memory="600Mi")


def test_templates_amounts_are_cut_too() -> None:
    under = {"spec": {"containers": [in_pod(limits={"memory": "8Gi", "gpu": "8"}, name="default")]}}
    assert resources_of(task(pod_template=under)) == both(cpu="100m", memory="1Gi", gpu="1")


def test_claims_of_dynamic_resources_pass_through() -> None:
    claimed = {"name": "primary", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}
    assert resources_of(task(pod_task(claimed)))["claims"] == [{"name": "gpu"}]


def test_numbers_of_a_struct_are_quantities() -> None:
    made = pod_task({"name": "primary", "image": "i", "resources": {"requests": {"cpu": 1, "nvidia.com/gpu": 1}}})
    assert resources_of(task(made)) == both(cpu="1", memory="500Mi", gpu="1")


@pytest.mark.parametrize("kind", ["own", "node's", "platform's"])
def test_quantity_that_is_none_is_refused_wherever_it_comes_from(kind: str) -> None:
    wrong = {"cpu": "lots"}
    made = {
        "own": task(template(container=container(requests=wrong))),
        "node's": task(resources=resources(wrong)),
        "platform's": task(
            task_resources=matchable_resource_pb2.TaskResourceAttributes(
                defaults=matchable_resource_pb2.TaskResourceSpec(**wrong)
            )
        ),
    }[kind]
    with pytest.raises(NotLaunchable, match="lots"):
        build_pod(made)


@pytest.mark.parametrize("kind", ["primary", "side", "early"])
def test_amounts_of_resources_that_pass_through_are_quantities_too(kind: str) -> None:
    """Else nobody could say what the pod counts as."""
    wrong = in_pod(limits={"nvidia.com/mig-1g.5gb": "lots"}, name=kind)
    others = [] if kind == "primary" else [in_pod()]
    made = pod_task(*others, spec={"initContainers": [wrong]}) if kind == "early" else pod_task(*others, wrong)
    with pytest.raises(NotLaunchable, match="lots"):
        build_pod(task(made))


AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "memory", "ephemeral-storage", GPU]), st.integers(0, 8).map(str), max_size=4
)


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_kubernetes_takes_whatever_comes_out(
    requests: dict[str, str], limits: dict[str, str], defaults: dict[str, str], most: dict[str, str]
) -> None:
    platform, asked = Platform(defaults, most, GPU), Requirements(requests, limits)
    assigned = platform.assigned(asked)
    for given_to in (assigned, platform.within(asked)):
        for name, value in given_to.requests.items():
            assert quantities.parse(value) > 0 or given_to is not assigned
            if name in given_to.limits:
                assert quantities.parse(value) <= quantities.parse(given_to.limits[name])
            if name == GPU:
                assert given_to.limits[name] == value
        for amounts in (given_to.requests, given_to.limits):
            for name, value in amounts.items():
                ceiling = quantities.parse(most.get(name, "0"))
                assert not ceiling or quantities.parse(value) <= ceiling
    assert assigned.requests.keys() == assigned.limits.keys()
