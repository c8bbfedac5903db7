"""Calls of a real Kubernetes API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes import api_access
from services.k8s_launcher.kubernetes.api import Api, Patch
from services.k8s_launcher.kubernetes.api_errors import ApiMisconfigured, ApiRefused, ApiUnreachable
from services.k8s_launcher.kubernetes.objects import CONFIG_MAP, LEASE, NAMESPACE, POD, Kind, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.accounts import token_of
from tests.kubernetes.asking import CRD, compact, config_map, pod, restart_api_server, serve

NOWHERE = Kind("nowhere.flightlog.test/v1", "Nothing", "nothings")
WIDGET = Kind("api.flightlog.test/v1", "Widget", "widgets")


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Api]:
    api = await Api.open(KubernetesSettings.model_validate(settings))
    try:
        yield api
    finally:
        await api.close()


def edited(cluster: Cluster, path: Path, *, server: str = "", ca: str = "", token: str = "") -> Path:
    content = json.loads(cluster.kubeconfig.read_text())
    where, who = content["clusters"][0]["cluster"], content["users"][0]["user"]
    where["server"] = server or where["server"]
    where["certificate-authority"] = ca or where["certificate-authority"]
    who["token"] = token or who["token"]
    path.write_text(json.dumps(content))
    return path


def counted(verb: str, kind: Kind, code: str) -> float:
    labels = {"verb": verb, "kind": kind.kind, "code": code}
    return REGISTRY.get_sample_value("flightlog_kubernetes_requests_total", labels) or 0.0


async def test_an_object_is_made_read_changed_and_deleted(api: Api, namespace: str) -> None:
    made = await api.create(CONFIG_MAP, namespace, config_map("one", a="1"))
    assert made["metadata"]["uid"]
    assert (await api.get(CONFIG_MAP, namespace, "one"))["data"] == {"a": "1"}
    made["data"] = {"a": "2"}
    replaced = await api.replace(CONFIG_MAP, namespace, made)
    assert replaced["data"] == {"a": "2"}
    with pytest.raises(ApiRefused) as refused:
        await api.replace(CONFIG_MAP, namespace, made)
    assert refused.value.conflict
    with pytest.raises(ApiRefused) as refused:
        await api.delete(CONFIG_MAP, namespace, "one", uid="00000000-0000-0000-0000-000000000000")
    assert refused.value.conflict
    await api.delete(CONFIG_MAP, namespace, "one", uid=made["metadata"]["uid"])
    with pytest.raises(ApiRefused) as refused:
        await api.get(CONFIG_MAP, namespace, "one")
    assert refused.value.not_found
    assert not refused.value.not_served


async def test_refusals_say_why(api: Api, namespace: str) -> None:
    await api.create(CONFIG_MAP, namespace, config_map("one"))
    before = counted("create", CONFIG_MAP, "409")
    with pytest.raises(ApiRefused) as refused:
        await api.create(CONFIG_MAP, namespace, config_map("one"))
    assert refused.value.already_exists
    assert not refused.value.conflict
    assert counted("create", CONFIG_MAP, "409") == before + 1
    with pytest.raises(ApiRefused) as refused:
        await api.create(POD, namespace, pod("X"))
    assert (refused.value.status, refused.value.reason) == (422, "Invalid")
    assert "metadata.name" in refused.value.message
    assert refused.value.details["causes"][0]["field"] == "metadata.name"
    assert not refused.value.passing
    with pytest.raises(ApiRefused) as refused:
        await api.create(CONFIG_MAP, "never-made", config_map("one"))
    assert refused.value.not_found
    assert not refused.value.not_served
    assert refused.value.details["kind"] == "namespaces"


async def test_a_dry_run_makes_nothing(api: Api, namespace: str) -> None:
    assert (await api.create(CONFIG_MAP, namespace, config_map("dry"), dry_run=True))["metadata"]["uid"]
    assert await names(api, namespace) == []


async def names(api: Api, namespace: str, **selectors: Any) -> list[str]:
    # Each namespace has one for the cluster's certificate.
    listed = await api.list(CONFIG_MAP, namespace, **selectors)
    return [item["metadata"]["name"] for item in listed.items if item["metadata"]["name"] != "kube-root-ca.crt"]


async def test_lists_come_in_pages_of_one_snapshot(api: Api, namespace: str) -> None:
    for number in range(5):
        await api.create(CONFIG_MAP, namespace, config_map(f"c{number}", {"of": "five"}))
    pages = [page async for page in api.pages(CONFIG_MAP, namespace, label_selector="of=five", page=2)]
    assert [[item["metadata"]["name"] for item in page.items] for page in pages] == [["c0", "c1"], ["c2", "c3"], ["c4"]]
    assert len({page.resource_version for page in pages}) == 1
    assert pages[0].items[0]["kind"] == "ConfigMap"
    assert pages[0].items[0]["apiVersion"] == "v1"
    listed = await api.list(CONFIG_MAP, namespace, label_selector="of=five", page=3)
    assert [item["metadata"]["name"] for item in listed.items] == ["c0", "c1", "c2", "c3", "c4"]
    assert await names(api, namespace, field_selector="metadata.name=c3") == ["c3"]
    assert await names(api, namespace, label_selector="of in (six, seven)") == []


async def test_patches_of_each_sort(api: Api, namespace: str) -> None:
    await api.create(POD, namespace, pod("p"))
    merged = await api.patch(POD, namespace, "p", {"metadata": {"labels": {"a": "1"}}})
    assert merged["metadata"]["labels"]["a"] == "1"
    first = {"op": "replace", "path": "/metadata/labels/a", "value": "2"}
    assert (await api.patch(POD, namespace, "p", [first], how=Patch.JSON))["metadata"]["labels"]["a"] == "2"
    images = {"spec": {"containers": [{"name": "main", "image": "nowhere/else:2"}]}}
    strategic = await api.patch(POD, namespace, "p", images, how=Patch.STRATEGIC)
    assert [container["image"] for container in strategic["spec"]["containers"]] == ["nowhere/else:2"]
    status = {"status": {"phase": "Running"}}
    assert (await api.patch(POD, namespace, "p", status, subresource="status"))["status"]["phase"] == "Running"
    unchanged = await api.patch(POD, namespace, "p", {"metadata": {"labels": {"b": "1"}}}, dry_run=True)
    assert "b" in unchanged["metadata"]["labels"]
    assert "b" not in (await api.get(POD, namespace, "p"))["metadata"]["labels"]


async def test_server_side_apply_keeps_to_its_own_fields(api: Api, namespace: str) -> None:
    mine = {**config_map("applied", a="mine"), "metadata": {"name": "applied"}}
    theirs = {**mine, "data": {"a": "theirs"}}
    await api.patch(CONFIG_MAP, namespace, "applied", mine, how=Patch.APPLY)
    with pytest.raises(ApiRefused) as refused:
        await api.patch(CONFIG_MAP, namespace, "applied", theirs, how=Patch.APPLY, field_manager="others")
    assert refused.value.conflict
    taken = await api.patch(
        CONFIG_MAP, namespace, "applied", theirs, how=Patch.APPLY, field_manager="others", force=True
    )
    assert taken["data"] == {"a": "theirs"}


async def test_a_deleted_pod_goes_at_once_without_grace(api: Api, namespace: str) -> None:
    await api.create(POD, namespace, pod("p"))
    await api.delete(POD, namespace, "p", grace_seconds=0, propagation="Background")
    with pytest.raises(ApiRefused) as refused:
        await api.get(POD, namespace, "p")
    assert refused.value.not_found


async def test_a_watch_tells_what_happened_since(api: Api, namespace: str) -> None:
    since = (await api.list(CONFIG_MAP, namespace)).resource_version
    await api.create(CONFIG_MAP, namespace, config_map("w", {"l": "1"}, a="1"))
    await api.create(CONFIG_MAP, namespace, config_map("not-ours"))
    await api.patch(CONFIG_MAP, namespace, "w", {"data": {"a": "2"}})
    await api.delete(CONFIG_MAP, namespace, "w")
    happened: list[tuple[str, Object]] = []
    # It ends by itself: the server closes it.
    async with aclosing(
        api.watch(CONFIG_MAP, namespace, resource_version=since, label_selector="l=1", seconds=1)
    ) as events:
        async for what, seen in events:
            if what != "BOOKMARK":
                happened.append((what, seen))
    assert [(what, seen["data"]["a"]) for what, seen in happened] == [
        ("ADDED", "1"),
        ("MODIFIED", "2"),
        ("DELETED", "2"),
    ]
    versions = [int(seen["metadata"]["resourceVersion"]) for _, seen in happened]
    assert versions == sorted(set(versions))


async def test_a_watch_from_a_version_that_is_forgotten_is_refused(cluster: Cluster, api: Api, namespace: str) -> None:
    since = (await api.list(CONFIG_MAP, namespace)).resource_version
    await api.create(CONFIG_MAP, namespace, config_map("one"))
    await compact(cluster)
    # The API server keeps the last changes of each kind for itself.
    await restart_api_server(cluster)

    async def watch() -> list[Any]:
        async with aclosing(api.watch(CONFIG_MAP, namespace, resource_version=since, seconds=30)) as events:
            return [event async for event in events]

    with pytest.raises(ApiRefused) as refused:
        await watch()
    assert refused.value.expired


async def test_whether_a_kind_is_served(api: Api, namespace: str) -> None:
    assert await api.has(POD)
    assert await api.find("coordination.k8s.io/v1", "Lease") == LEASE
    assert await api.find("v1", "Namespace") == NAMESPACE
    assert not await api.has(NOWHERE)
    with pytest.raises(ApiRefused) as refused:
        await api.create(NOWHERE, namespace, {"metadata": {"name": "x"}})
    assert refused.value.not_served
    await serve(api, WIDGET)
    try:
        # A refusal for want of the kind, as `serve` may have had, ends what is remembered.
        assert await api.has(WIDGET)
    finally:
        await api.delete(CRD, None, "widgets.api.flightlog.test")


async def test_the_version_of_the_server(api: Api) -> None:
    assert int((await api.version())["major"]) >= 1


async def test_nobody_answers(cluster: Cluster, tmp_path: Path) -> None:
    before = counted("get", NAMESPACE, "unreachable")
    refusing = edited(cluster, tmp_path / "a", server="https://127.0.0.1:1")
    nameless = edited(cluster, tmp_path / "b", server="https://api.flightlog.invalid")
    for kubeconfig in (refusing, nameless):
        async with opened(kubeconfig=kubeconfig) as api:
            with pytest.raises(ApiUnreachable):
                await api.get(NAMESPACE, None, "default")
    assert counted("get", NAMESPACE, "unreachable") == before + 2


async def test_a_certificate_of_somebody_else_is_not_believed(cluster: Cluster, tmp_path: Path) -> None:
    from flightlog_cluster.certificates import write_certificates

    write_certificates(tmp_path / "others")
    kubeconfig = edited(cluster, tmp_path / "a", ca=str(tmp_path / "others" / "ca.crt"))
    async with opened(kubeconfig=kubeconfig) as api:
        with pytest.raises(ApiUnreachable, match="certificate"):
            await api.get(NAMESPACE, None, "default")


async def test_an_answer_that_does_not_come(cluster: Cluster, tmp_path: Path) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        kubeconfig = edited(cluster, tmp_path / "a", server=f"http://127.0.0.1:{port}")
        async with opened(kubeconfig=kubeconfig, api={"request_seconds": 0.1}) as api:
            with pytest.raises(ApiUnreachable):
                await api.get(NAMESPACE, None, "default")
            with pytest.raises(ApiUnreachable):
                async with aclosing(api.watch(NAMESPACE, resource_version="1")) as events:
                    assert [event async for event in events] == []


async def test_answers_that_are_not_the_apis(cluster: Cluster, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        if name == "overloaded":
            status = {"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "slowly", "details": {}}
            return web.json_response(status, status=429, headers={"Retry-After": "7"})
        if name == "webhook":
            return web.json_response({"kind": "Status", "reason": "InternalError", "message": "webhook"}, status=500)
        if name == "forbidden":
            return web.Response(text="not here", status=403)
        return web.Response(text="<html>bad gateway</html>", status=502 if name == "gateway" else 200)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        kubeconfig = edited(cluster, tmp_path / "a", server=f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with opened(kubeconfig=kubeconfig) as api:
            for name in ("gateway", "portal"):
                with pytest.raises(ApiUnreachable):
                    await api.get(NAMESPACE, None, name)
            with pytest.raises(ApiRefused) as refused:
                await api.get(NAMESPACE, None, "overloaded")
            assert (refused.value.status, refused.value.retry_after_seconds) == (429, 7.0)
            assert refused.value.passing
            with pytest.raises(ApiRefused) as refused:
                await api.get(NAMESPACE, None, "webhook")
            assert refused.value.passing
            with pytest.raises(ApiRefused, match="not here") as refused:
                await api.get(NAMESPACE, None, "forbidden")
            assert refused.value.status == 403
    finally:
        await runner.cleanup()


async def test_a_new_token_in_the_kubeconfig_is_taken(cluster: Cluster, tmp_path: Path) -> None:
    kubeconfig = edited(cluster, tmp_path / "config", token="of-yesterday")
    async with opened(kubeconfig=kubeconfig) as api:
        edited(cluster, kubeconfig)
        assert await api.get(NAMESPACE, None, "default")


async def test_a_netrc_of_the_machine_is_not_for_the_api(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else")
    monkeypatch.setenv("NETRC", str(netrc))
    async with opened(kubeconfig=edited(cluster, tmp_path / "config")) as api:
        assert await api.get(NAMESPACE, None, "default")


async def test_a_proxy_of_the_environment_is_used_unless_it_is_not_for_the_api(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    kubeconfig = edited(cluster, tmp_path / "config")
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        async with opened(kubeconfig=kubeconfig) as api:
            with pytest.raises(ApiUnreachable):
                await api.get(NAMESPACE, None, "default")
        assert asked[0].startswith(b"CONNECT 127.0.0.1:")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with opened(kubeconfig=kubeconfig) as api:
            assert await api.get(NAMESPACE, None, "default")


async def test_a_token_that_is_wrong_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    async with opened(kubeconfig=edited(cluster, tmp_path / "config", token="wrong")) as api:
        with pytest.raises(ApiRefused) as refused:
            await api.get(NAMESPACE, None, "default")
        assert refused.value.status == 401


async def test_inside_a_pod_its_service_account_is_used(
    cluster: Cluster, api: Api, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await token_of(api, namespace)
    (tmp_path / "ca.crt").write_text(cluster.ca_file.read_text())
    (tmp_path / "token").write_text("not-yet")
    host, port = cluster.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(api_access, "_SERVICE_ACCOUNT", tmp_path)
    async with opened() as inside:
        # The kubelet writes a new one from time to time.
        (tmp_path / "token").write_text(token)
        with pytest.raises(ApiRefused) as refused:
            await inside.list(POD, namespace)
    assert refused.value.status == 403
    assert f"system:serviceaccount:{namespace}:default" in refused.value.message


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"current-context": "x", "contexts": []}', "\t:"])
async def test_an_unusable_kubeconfig_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(ApiMisconfigured):
        await Api.open(KubernetesSettings.model_validate({"kubeconfig": path}))


async def test_a_missing_kubeconfig_is_told(tmp_path: Path) -> None:
    with pytest.raises(ApiMisconfigured):
        await Api.open(KubernetesSettings.model_validate({"kubeconfig": tmp_path / "none"}))
