"""Definitions of operators' objects in the test cluster. Their operators do not run."""

from __future__ import annotations

from flightlog_cluster.crds import definitions
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Object
from tests.kubernetes.asking import CRD, until


async def define_all(api: Api) -> list[Object]:
    """Make the API know them all; returns them. Raises `DefinitionsMissing`."""
    wanted = await definitions()
    for each in wanted:
        await api.create(CRD, None, each)
    for each in wanted:
        await until(lambda each=each: is_established(api, each["metadata"]["name"]))
    return wanted


async def is_established(api: Api, name: str) -> bool:
    """Whether the API serves the kind of a definition."""
    conditions = (await api.get(CRD, None, name)).get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
