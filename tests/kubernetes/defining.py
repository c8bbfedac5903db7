"""Definitions of operators' objects in the test cluster. Their operators do not run."""

from __future__ import annotations

from flightlog_cluster.crds import definitions
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Kind, Object
from tests.kubernetes.asking import CRD, is_served, until


async def define_all(api: Api) -> list[Object]:
    """Make the API know them all; returns them. Raises `DefinitionsMissing`."""
    wanted = await definitions()
    for each in wanted:
        await api.create(CRD, None, each)
    for each in wanted:
        await until(lambda each=each: is_served(api, kind_of(each)))
    return wanted


def kind_of(definition: Object) -> Kind:
    """What a definition defines. Its objects tell whether it is served: it is itself as large as a book."""
    spec = definition["spec"]
    version = next(each["name"] for each in spec["versions"] if each["served"])
    names = spec["names"]
    return Kind(f"{spec['group']}/{version}", names["kind"], names["plural"], namespaced=spec["scope"] == "Namespaced")
