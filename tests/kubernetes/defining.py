"""Definitions of operators' objects in the test cluster. Their operators do not run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Kind, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import CRD, is_served, until


async def define(api: Api, settings: KubernetesSettings, definitions: Sequence[Object]) -> Api:
    """Make the API know kinds; returns another way to it, which has not remembered that they were missing."""
    for each in definitions:
        await api.create(CRD, None, each)
    kinds = [kind_of(each) for each in definitions]
    await until(lambda: _are_known(settings, kinds))
    return await Api.open(settings)


async def _are_known(settings: KubernetesSettings, kinds: Iterable[Kind]) -> bool:
    """Whether the API says that it has them, and does."""
    asking = await Api.open(settings)
    try:
        return all([await asking.has(kind) and await is_served(asking, kind) for kind in kinds])
    finally:
        await asking.close()


def kind_of(definition: Object) -> Kind:
    """What a definition defines. Its objects tell whether it is served: it is itself as large as a book."""
    spec = definition["spec"]
    version = next(each["name"] for each in spec["versions"] if each["served"])
    names = spec["names"]
    return Kind(f"{spec['group']}/{version}", names["kind"], names["plural"], namespaced=spec["scope"] == "Namespaced")
