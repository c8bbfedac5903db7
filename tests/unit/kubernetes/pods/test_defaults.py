"""What all pods get (k8s-contract §1.10), and what follows from the order of the steps (§1.9)."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core import security_pb2, tasks_pb2

from services.k8s_launcher.kubernetes.objects import Object, Task
from services.k8s_launcher.kubernetes.pods.pod import build_pod, pod_spec_for
from tests.unit.kubernetes.pods.tasks import container, pod_task, settings, task, template

DEFAULT = {"key": "default", "operator": "Exists"}
GPU = {"key": "gpu", "operator": "Exists"}
SPOT = {"key": "spot", "operator": "Exists"}
OWN = {"key": "own", "operator": "Exists"}
REQUIREMENT = {"key": "pool", "operator": "NotIn", "values": ["spot"]}


def spec_of(made: Task) -> Object:
    return build_pod(made).manifest["spec"]


def own_pod(**spec: Any) -> tasks_pb2.TaskTemplate:
    return pod_task({"name": "primary", "image": "i", "resources": {"limits": {"gpu": "1"}}}, spec=spec)


def terms(*expressions: list[Object]) -> Object:
    found = [{"matchExpressions": each} for each in expressions]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": found}}}


def required(spec: Object) -> list[list[Object]]:
    found = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return [term["matchExpressions"] for term in found]


def test_tolerations_are_those_of_resources_of_interruptions_of_all_and_the_pods_own() -> None:
    spec = spec_of(
        task(
            own_pod(tolerations=[OWN]),
            interruptible=True,
            settings_of=settings(
                default_tolerations=[DEFAULT],
                interruptible_tolerations=[SPOT],
                resource_tolerations={"nvidia.com/gpu": [GPU], "google.com/tpu": [OWN]},
            ),
        )
    )
    assert spec["tolerations"] == [GPU, SPOT, DEFAULT, OWN]


@pytest.mark.parametrize(
    ("name", "setting", "own", "default"),
    [
        ("schedulerName", "scheduler_name", "mine", "volcano"),
        ("affinity", "default_affinity", {"podAffinity": {}}, terms([OWN])),
        ("securityContext", "default_pod_security_context", {"runAsUser": 1}, {"runAsNonRoot": True}),
        ("dnsConfig", "default_pod_dns_config", {"searches": ["mine"]}, {"searches": ["default"]}),
    ],
)
def test_default_is_for_pods_that_say_nothing(name: str, setting: str, own: Any, default: Any) -> None:
    configured = settings(**{setting: default})
    assert spec_of(task(settings_of=configured))[name] == default
    assert spec_of(task(own_pod(**{name: own}), settings_of=configured))[name] == own
    assert name not in spec_of(task())


def test_pods_own_node_selector_wins_over_the_default_and_the_interruptible_one_over_all() -> None:
    configured = settings(
        default_node_selector={"a": "default", "b": "default", "c": "default"},
        interruptible_node_selector={"c": "spot"},
    )
    made = own_pod(nodeSelector={"b": "own", "c": "own"})
    assert spec_of(task(made, settings_of=configured))["nodeSelector"] == {"a": "default", "b": "own", "c": "own"}
    interrupted = spec_of(task(made, settings_of=configured, interruptible=True))
    assert interrupted["nodeSelector"] == {"a": "default", "b": "own", "c": "spot"}


def test_restart_policy_of_a_pod_stays() -> None:
    assert spec_of(task(own_pod(restartPolicy="OnFailure")))["restartPolicy"] == "OnFailure"


@pytest.mark.parametrize("network", [True, False])
def test_network_of_the_node_is_the_operators_choice(network: bool) -> None:
    made = own_pod(hostNetwork=not network)
    assert spec_of(task(made, settings_of=settings(enable_host_networking_pod=network)))["hostNetwork"] is network


def test_service_account_of_the_pod_goes_before_the_executions_and_that_of_the_task_counts_for_nothing() -> None:
    who = security_pb2.SecurityContext(run_as=security_pb2.Identity(k8s_service_account="execution"))
    assert spec_of(task(own_pod(serviceAccountName="own"), security_context=who))["serviceAccountName"] == "own"
    assert spec_of(task(own_pod(), security_context=who))["serviceAccountName"] == "execution"
    assert "serviceAccountName" not in spec_of(task(template(security_context=who)))


def test_container_security_context_is_for_the_primary_container_without_one() -> None:
    configured = settings(default_security_context={"readOnlyRootFilesystem": True})
    made = pod_task({"name": "primary", "image": "i"}, {"name": "side", "image": "j"})
    primary, side = spec_of(task(made, settings_of=configured))["containers"]
    assert primary["securityContext"] == {"readOnlyRootFilesystem": True}
    assert "securityContext" not in side
    own = pod_task({"name": "primary", "image": "i", "securityContext": {"runAsUser": 5}})
    assert spec_of(task(own, settings_of=configured))["containers"][0]["securityContext"] == {"runAsUser": 5}


def test_requirement_is_added_to_each_alternative_of_the_pods_own() -> None:
    made = own_pod(affinity=terms([OWN], [GPU]))
    configured = settings(non_interruptible_node_selector_requirement=REQUIREMENT)
    assert required(spec_of(task(made, settings_of=configured))) == [[OWN, REQUIREMENT], [GPU, REQUIREMENT]]


def test_alternative_without_expressions_gets_the_requirement() -> None:
    fields = {"nodeSelectorTerms": [{"matchFields": [OWN]}]}
    made = own_pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": fields}})
    configured = settings(non_interruptible_node_selector_requirement=REQUIREMENT)
    affinity = spec_of(task(made, settings_of=configured))["affinity"]["nodeAffinity"]
    assert affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] == [
        {"matchFields": [OWN], "matchExpressions": [REQUIREMENT]}
    ]


def test_alternatives_of_a_template_go_round_the_requirement_but_not_round_the_accelerator() -> None:
    made = template(
        container=container(requests={"gpu": "1"}),
        extended_resources=tasks_pb2.ExtendedResources(gpu_accelerator=tasks_pb2.GPUAccelerator(device="nvidia-l4")),
    )
    under = {"spec": {"affinity": terms([OWN])}}
    configured = settings(non_interruptible_node_selector_requirement=REQUIREMENT)
    device = {"key": "k8s.amazonaws.com/accelerator", "operator": "In", "values": ["nvidia-l4"]}
    assert required(spec_of(task(made, pod_template=under, settings_of=configured))) == [
        [OWN, device],
        [REQUIREMENT, device],
    ]


def test_template_gives_what_no_setting_does_and_loses_where_one_does() -> None:
    under = {
        "spec": {
            "schedulerName": "template",
            "priorityClassName": "high",
            "imagePullSecrets": [{"name": "registry"}],
            "tolerations": [OWN],
            "terminationGracePeriodSeconds": 5,
        }
    }
    spec = spec_of(task(pod_template=under, settings_of=settings(default_tolerations=[DEFAULT])))
    assert spec["schedulerName"] == "template"
    assert spec["priorityClassName"] == "high"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["tolerations"] == [OWN, DEFAULT]
    assert spec["terminationGracePeriodSeconds"] == 5
    assert spec_of(task(pod_template=under, settings_of=settings(scheduler_name="ours")))["schedulerName"] == "ours"


def test_taints_named_like_a_device_are_tolerated_by_plain_pods_too() -> None:
    configured = settings(add_tolerations_for_extended_resources=["nvidia.com/gpu", "google.com/tpu"])
    expected = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert spec_of(task(own_pod(), settings_of=configured))["tolerations"] == [expected]
    assert spec_of(task(own_pod(tolerations=[expected]), settings_of=configured))["tolerations"] == [expected]
    assert "tolerations" not in spec_of(task(settings_of=configured))


def test_device_of_a_limit_alone_is_asked_for() -> None:
    """Kubernetes makes the request of the limit, but only when it has the pod."""
    configured = settings(add_tolerations_for_extended_resources=["nvidia.com/mig-1g.5gb"])
    main = {"name": "primary", "image": "i", "resources": {"limits": {"nvidia.com/mig-1g.5gb": "1"}}}
    tolerations = spec_of(task(pod_task(main), settings_of=configured))["tolerations"]
    assert tolerations == [{"key": "nvidia.com/mig-1g.5gb", "operator": "Exists", "effect": "NoSchedule"}]


def test_heads_of_clusters_are_not_interruptible_though_the_attempt_is() -> None:
    configured = settings(interruptible_node_selector={"pool": "spot"})
    attempt = task(interruptible=True, settings_of=configured)
    assert pod_spec_for(attempt).spec["nodeSelector"] == {"pool": "spot"}
    assert "nodeSelector" not in pod_spec_for(attempt, interruptible=False).spec


def test_building_changes_neither_the_task_nor_the_settings() -> None:
    under = {"spec": {"containers": [{"name": "default"}], "affinity": terms([OWN]), "tolerations": [OWN]}}
    attempt = task(
        template(
            container=container(requests={"gpu": "1"}),
            extended_resources=tasks_pb2.ExtendedResources(
                gpu_accelerator=tasks_pb2.GPUAccelerator(device="nvidia-l4")
            ),
        ),
        pod_template=under,
        settings_of=settings(
            default_affinity=terms([GPU]),
            default_tolerations=[DEFAULT],
            non_interruptible_node_selector_requirement=REQUIREMENT,
            default_security_context={"capabilities": {"drop": ["ALL"]}},
        ),
    )
    before = repr(attempt)
    first = build_pod(attempt).manifest
    assert repr(attempt) == before
    assert build_pod(attempt).manifest == first
