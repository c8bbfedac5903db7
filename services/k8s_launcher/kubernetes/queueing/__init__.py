"""Queues of Kueue and Volcano: which attempts wait in them, and how their objects say so (k8s-contract §8).

Objects come from the plugins without any of it, except for what users gave them themselves: labels of executions and
launch plans are on every object and pod, whatever the settings say.
"""

from __future__ import annotations

import copy

from services.k8s_launcher.kubernetes.objects import Built, Kind, Task
from services.k8s_launcher.kubernetes.queueing import kueue, volcano
from services.k8s_launcher.kubernetes.queueing.settings import QueueingSettings, QueueRule
from services.k8s_launcher.task_templates import NotLaunchable


def queued(built: Built, task: Task) -> Built:
    """The same object, made for the queue that its project and domain have, or that its labels name.

    What is to exist before it (a PodGroup) is added. Nothing changes without settings.
    """
    settings = task.settings.queueing
    if settings.kind == "none":
        return built
    execution = task.scheduled.execution_id
    rule = _rule(settings, built.kind.kind, execution.project, execution.domain)
    manifest = copy.deepcopy(built.manifest)
    if settings.kind == "kueue":
        kueue.enqueue(manifest, rule, suspend=settings.suspend)
        return Built(built.kind, manifest, built.before)
    before = volcano.enqueue(manifest, rule, settings)
    return Built(built.kind, manifest, [*before, *built.before])


def not_installed(kind: Kind) -> NotLaunchable:
    """The error of an attempt that needs an object of a kind which the cluster does not know: whose it is."""
    group, _, version = kind.api_version.partition("/")
    return NotLaunchable(
        "OperatorNotInstalled",
        f"the settings send this task to Volcano's queues in a {kind.kind}, which this cluster does not have: there is "
        f"no CustomResourceDefinition {kind.plural}.{group} with version {version}",
        system=True,
    )


def _rule(settings: QueueingSettings, kind: str, project: str, domain: str) -> QueueRule | None:
    if kind not in settings.kinds:
        return None
    return next((rule for rule in settings.rules if rule.holds(project, domain)), None)
