"""Which pods an object stands for: its pod templates, how many of each, and what they ask for together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from flightlog_types import quantities
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.amounts import pod_amounts

_REPLICAS: Final = {
    "PyTorchJob": "pytorchReplicaSpecs",
    "TFJob": "tfReplicaSpecs",
    "MPIJob": "mpiReplicaSpecs",
}


@dataclass(frozen=True)
class PodSet:
    """Pods that are made alike. `metadata` and `spec` are those in the object: changing them changes it."""

    name: str
    count: int
    metadata: dict[str, Any]
    spec: dict[str, Any]
    in_gang: bool = True
    """Needed for the others to make sense. A pod that submits a job to the others is not."""


def pod_sets(manifest: Object) -> list[PodSet]:
    """The pods of a Pod or of an operator's object; none of kinds whose pods are not described by templates."""
    return list(_pod_sets(manifest))


def _pod_sets(manifest: Object) -> Iterator[PodSet]:
    kind = manifest["kind"]
    spec = manifest.get("spec", {})
    if kind == "Pod":
        yield PodSet("main", 1, manifest["metadata"], spec)
    elif kind in _REPLICAS:
        for name, replica in spec[_REPLICAS[kind]].items():
            yield _of_template(name.lower(), replica["replicas"], replica["template"])
    elif kind == "RayJob":
        cluster = spec["rayClusterSpec"]
        yield _of_template("head", 1, cluster["headGroupSpec"]["template"])
        for group in cluster["workerGroupSpecs"]:
            yield _of_template(group["groupName"], group["minReplicas"], group["template"])
        submitter = spec.get("submitterPodTemplate")
        if submitter is not None:
            yield _of_template("submitter", 1, submitter, in_gang=False)
    elif kind == "DaskJob":
        cluster = spec["cluster"]["spec"]
        yield _of_template("scheduler", 1, cluster["scheduler"])
        yield _of_template("worker", cluster["worker"]["replicas"], cluster["worker"])
        yield _of_template("runner", 1, spec["job"], in_gang=False)


def _of_template(name: str, count: int, template: dict[str, Any], *, in_gang: bool = True) -> PodSet:
    return PodSet(name, count, template.setdefault("metadata", {}), template["spec"], in_gang)


def gang_size(sets: Iterable[PodSet]) -> int:
    """How many pods must run at once."""
    return sum(each.count for each in sets if each.in_gang)


def gang_requests(sets: Iterable[PodSet]) -> dict[str, str]:
    """What they ask for together, as quantities by resource: of each pod the sum of its containers, or the largest of
    its init containers if that is more."""
    total: dict[str, Decimal] = {}
    for each in sets:
        if each.in_gang:
            for resource, value in pod_amounts(each.spec, "requests").items():
                total[resource] = total.get(resource, Decimal()) + value * each.count
    return {resource: quantities.canonical(_text(value)) for resource, value in sorted(total.items()) if value}


def _text(value: Decimal) -> str:
    return format(value, "f")
