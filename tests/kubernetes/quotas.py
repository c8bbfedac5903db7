"""Quotas of namespaces."""

from __future__ import annotations

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Kind
from tests.kubernetes.asking import until

QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")


async def set_quota(api: Api, namespace: str, **hard: str) -> None:
    """A ResourceQuota named `q`, in force when this returns. Underscores stand for dots."""
    named = {name.replace("_", "."): value for name, value in hard.items()}
    manifest = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": named}}
    await api.create(QUOTA, namespace, manifest)

    async def counted() -> bool:
        found = await api.get(QUOTA, namespace, "q")
        return set(found.get("status", {}).get("used", {})) == set(named)

    await until(counted)
