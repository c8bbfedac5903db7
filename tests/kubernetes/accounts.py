"""Service accounts of a namespace, as which a test speaks to the API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import Kind
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import until

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")


async def has_account(api: Api, namespace: str) -> bool:
    """Whether pods can be made in a new namespace: a controller gives it an account first."""
    return bool((await api.list(SERVICE_ACCOUNT, namespace)).items)


async def token_of(api: Api, namespace: str) -> str:
    """Of the namespace's default account, which may do nothing by itself."""
    await until(lambda: has_account(api, namespace))
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": "default"},
        "spec": {"expirationSeconds": 600},
    }
    answer = await api.create(SERVICE_ACCOUNT, namespace, request, subresource="token")
    return answer["status"]["token"]


@asynccontextmanager
async def as_account(cluster: Cluster, api: Api, namespace: str, folder: Path) -> AsyncIterator[Api]:
    """The API as that account."""
    content = json.loads(cluster.kubeconfig.read_text())
    content["users"][0]["user"]["token"] = await token_of(api, namespace)
    path = folder / "account.kubeconfig"
    path.write_text(json.dumps(content))
    settings = KubernetesSettings.model_validate({"kubeconfig": path, "api": {"longest_pause_seconds": 0.3}})
    opened = await Api.open(settings)
    try:
        yield opened
    finally:
        await opened.close()
