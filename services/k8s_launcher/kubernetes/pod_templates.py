"""PodTemplate objects: which one holds for a task (k8s-contract §1.9)."""

from __future__ import annotations

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.informer import Informer
from services.k8s_launcher.kubernetes.objects import POD_TEMPLATE, Object
from services.k8s_launcher.task_templates import NotLaunchable


class PodTemplates:
    """All PodTemplates of the cluster."""

    def __init__(self, api: Api, own_namespace: str, default_name: str) -> None:
        self._api = api
        self._own_namespace = own_namespace
        self._default_name = default_name
        self.informer = Informer(
            api,
            POD_TEMPLATE,
            on_change=_ignore,
            on_gone=_ignore,
        )

    async def for_task(self, name: str, namespace: str) -> Object | None:
        """`template` of the PodTemplate that a task names, else of the default one if there is one.

        Raises `NotLaunchable` when the one that is named is nowhere, and `ApiError`.
        """
        wanted = name or self._default_name
        if not wanted:
            return None
        for place in dict.fromkeys((namespace, self._own_namespace)):
            found = self.informer.get(place, wanted)
            if found is None and name:
                # It may have been made a moment ago, by the same hand that then started the execution.
                found = await self._asked(place, name)
            if found is not None:
                return found["template"]
        if not name:
            return None
        raise NotLaunchable(
            "FailedToBuildResource",
            f"the PodTemplate {name!r} is neither in the namespace {namespace} nor in {self._own_namespace}",
        )

    async def _asked(self, namespace: str, name: str) -> Object | None:
        try:
            return await self._api.get(POD_TEMPLATE, namespace, name)
        except ApiRefused as refusal:
            if refusal.not_found:
                return None
            raise


def _ignore(_: Object) -> None:
    return
