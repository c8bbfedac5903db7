"""The Secret with the object store's keys: kept by the launcher in each namespace, referred to by pods."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from flightlog_blobs import BlobSettings
from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.credentials import Credentials
from services.k8s_launcher.kubernetes.objects import SECRET
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.accounts import as_account
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching

NAME = "flightlog-tasks-object-store"
ACCESS, HIDDEN = "FLYTE_AWS_ACCESS_KEY_ID", "FLYTE_AWS_SECRET_ACCESS_KEY"
STORE = BlobSettings(bucket="b", endpoint="http://s3", access_key="the-access-key", secret_key=SecretStr("s3cret-key"))
OTHER = STORE.model_copy(update={"secret_key": SecretStr("an0ther")})


def settings(**raw_containers: Any) -> KubernetesSettings:
    return KubernetesSettings.model_validate({"raw_containers": raw_containers})


async def keys(api: Api, namespace: str, name: str = NAME) -> dict[str, str]:
    data = (await api.get(SECRET, namespace, name))["data"]
    return {entry: base64.b64decode(value).decode() for entry, value in data.items()}


def requests(code: str) -> float:
    labels = {"verb": "apply", "kind": "Secret", "code": code}
    return REGISTRY.get_sample_value("flightlog_kubernetes_requests_total", labels) or 0.0


async def test_pods_refer_to_a_secret_that_the_launcher_makes(launching: Launching) -> None:
    store = launching.settings.blobs
    async with launching.launcher():
        fact = await launching.schedule()
        pod = await until(lambda: launching.pod(fact))
    assert pod is not None
    (container,) = pod["spec"]["containers"]
    variables = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
    assert variables["FLYTE_AWS_ENDPOINT"] == store.endpoint
    assert variables[ACCESS] == {"secretKeyRef": {"name": NAME, "key": ACCESS}}
    assert variables[HIDDEN] == {"secretKeyRef": {"name": NAME, "key": HIDDEN}}
    assert store.secret_key.get_secret_value() not in json.dumps(pod)
    assert await keys(launching.api, launching.namespace) == {
        ACCESS: store.access_key,
        HIDDEN: store.secret_key.get_secret_value(),
    }


async def test_it_is_made_once_and_changes_with_the_keys(api: Api, namespace: str) -> None:
    before = requests("201") + requests("200")
    first = Credentials(api, settings(), STORE)
    await asyncio.gather(*(first.keep(namespace) for _ in range(20)))
    await first.keep(namespace)
    assert requests("201") + requests("200") == before + 1
    assert await keys(api, namespace) == {ACCESS: "the-access-key", HIDDEN: "s3cret-key"}
    await Credentials(api, settings(), OTHER).keep(namespace)
    assert (await keys(api, namespace))[HIDDEN] == "an0ther"


async def test_names_are_those_of_the_settings(api: Api, namespace: str) -> None:
    named = settings(credentials_secret="store", access_key_entry="id", secret_key_entry="key")
    await Credentials(api, named, STORE).keep(namespace)
    assert await keys(api, namespace, "store") == {"id": "the-access-key", "key": "s3cret-key"}


async def test_one_that_somebody_else_made_stays_as_it_is(api: Api, namespace: str) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME},
        "stringData": {ACCESS: "a", HIDDEN: "b"},
    }
    await api.create(SECRET, namespace, theirs)
    await Credentials(api, settings(), STORE).keep(namespace)
    assert await keys(api, namespace) == {ACCESS: "a", HIDDEN: "b"}


async def test_of_two_installations_the_first_ones_stays(api: Api, namespace: str) -> None:
    await Credentials(api, settings(), STORE).keep(namespace)
    another = KubernetesSettings.model_validate({"instance": "another"})
    await Credentials(api, another, OTHER).keep(namespace)
    assert (await keys(api, namespace))[HIDDEN] == "s3cret-key"


async def test_where_it_is_somebody_elses_concern_none_is_made(api: Api, namespace: str) -> None:
    await Credentials(api, settings(keep_credentials_secret=False), STORE).keep(namespace)
    with pytest.raises(ApiRefused) as refused:
        await api.get(SECRET, namespace, NAME)
    assert refused.value.not_found


async def test_a_launcher_that_may_not_make_it_launches_all_the_same(
    cluster: Cluster, api: Api, namespace: str, tmp_path: Path
) -> None:
    """There may be one; and where there is none, the kubelet says so."""
    before = requests("403")
    async with as_account(cluster, api, namespace, tmp_path) as somebody:
        credentials = Credentials(somebody, settings(), STORE)
        await credentials.keep(namespace)
        await credentials.keep(namespace)
    assert requests("403") == before + 1


async def test_a_namespace_that_is_missing_is_said_each_time(api: Api) -> None:
    credentials = Credentials(api, settings(), STORE)
    for _ in range(2):
        with pytest.raises(ApiRefused) as refused:
            await credentials.keep("there-is-no-such-namespace")
        assert refused.value.not_found


async def test_where_tasks_are_to_have_no_keys_pods_do_not_refer_to_it(launching: Launching) -> None:
    launcher = launching.settings.launcher.model_copy(update={"export_object_store": False})
    launching.settings = launching.settings.model_copy(update={"launcher": launcher})
    async with launching.launcher(raw_containers={"keep_credentials_secret": False}):
        fact = await launching.schedule()
        pod = await until(lambda: launching.pod(fact))
    assert pod is not None
    (container,) = pod["spec"]["containers"]
    assert not [entry["name"] for entry in container["env"] if entry["name"].startswith("FLYTE_AWS_")]
    assert await launching.thing(SECRET, NAME) is None
