"""Kueue: an object names its queue by a label, and starts suspended or gated until it is admitted (k8s-contract §8.2).

Kueue's webhook suspends kinds that can be suspended and gates plain pods. Where it may be away, `suspend` does the
former here; a pod's gate only the webhook can add, because only what it marked is ever admitted.
"""

from __future__ import annotations

from typing import Any, Final

from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.queueing.settings import QueueRule

QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
PRIORITY_LABEL: Final = "kueue.x-k8s.io/priority-class"

_IN_SPEC: Final = {"RayJob", "SparkApplication"}
_IN_RUN_POLICY: Final = {"PyTorchJob", "TFJob", "MPIJob"}


def enqueue(manifest: Object, rule: QueueRule | None, *, suspend: bool) -> None:
    """Put an object into its queue: the one its labels name already, or that of the rule.

    Args:
        suspend: create it suspended, if it is in a queue and of a kind that can be.
    """
    labels: dict[str, str] = manifest["metadata"].setdefault("labels", {})
    if QUEUE_LABEL not in labels and rule is not None:
        labels[QUEUE_LABEL] = rule.queue
        if rule.priority_class:
            labels.setdefault(PRIORITY_LABEL, rule.priority_class)
    if suspend and labels.get(QUEUE_LABEL):
        holder = _suspendable(manifest)
        if holder is not None:
            holder["suspend"] = True


def _suspendable(manifest: Object) -> dict[str, Any] | None:
    """Where `suspend` is, of kinds that have it."""
    kind, spec = manifest["kind"], manifest["spec"]
    if kind in _IN_SPEC:
        return spec
    if kind in _IN_RUN_POLICY:
        return spec.setdefault("runPolicy", {})
    return None
