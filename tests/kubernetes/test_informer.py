"""Following the objects of a real API, also while it is away and after it has forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.informer import Informer
from services.k8s_launcher.kubernetes.objects import CONFIG_MAP, POD, Kind, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.accounts import as_account
from tests.kubernetes.asking import CRD, compact, config_map, going, pod, restart_api_server, serve, until
from tests.kubernetes.gate import Gate, gate_to

SPROCKET = Kind("informer.flightlog.test/v1", "Sprocket", "sprockets")
OURS = "flightlog.test/ours"


class Diary:
    """What an informer told of each object, in order."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[str, Object]]] = {}

    def changed(self, seen: Object) -> None:
        self.told.setdefault(seen["metadata"]["name"], []).append(("changed", seen))

    def gone(self, last: Object) -> None:
        self.told.setdefault(last["metadata"]["name"], []).append(("gone", last))

    def of(self, name: str) -> list[str]:
        """Phases of a pod as they were told, each once in a row, and its end."""
        told = (
            what if what == "gone" else seen.get("status", {}).get("phase", what)
            for what, seen in self.told.get(name, [])
        )
        return [one for one, _ in groupby(told)]

    def last(self, name: str) -> str:
        return (self.of(name) or [""])[-1]


@asynccontextmanager
async def followed(
    api: Api, kind: Kind, namespace: str | None, **options: Any
) -> AsyncIterator[tuple[Informer, Diary]]:
    diary = Diary()
    informer = Informer(api, kind, namespace, on_change=diary.changed, on_gone=diary.gone, **options)
    async with going(informer.run()):
        async with asyncio.timeout(60):
            await informer.synced.wait()
        yield informer, diary


@asynccontextmanager
async def through(gate: Gate, **limits: Any) -> AsyncIterator[Api]:
    """The API by a way that can be cut."""
    limits = {"longest_pause_seconds": 0.3, **limits}
    settings = KubernetesSettings.model_validate({"kubeconfig": gate.kubeconfig, "api": limits})
    opened = await Api.open(settings)
    try:
        yield opened
    finally:
        await opened.close()


async def phase(api: Api, namespace: str, name: str, phase: str) -> None:
    await api.patch(POD, namespace, name, {"status": {"phase": phase}}, subresource="status")


def metric(name: str, namespace: str, kind: str = "Pod") -> float:
    return REGISTRY.get_sample_value(name, {"kind": kind, "namespace": namespace}) or 0.0


async def test_what_is_there_and_what_happens_to_it(api: Api, namespace: str) -> None:
    await api.create(POD, namespace, pod("old", {OURS: "1"}))
    await api.create(POD, namespace, pod("others"))
    async with followed(api, POD, namespace, label_selector=OURS) as (informer, diary):
        assert diary.of("old") == ["Pending"]
        await api.create(POD, namespace, pod("new", {OURS: "1"}))
        for name in ("old", "new"):
            await phase(api, namespace, name, "Running")
            await phase(api, namespace, name, "Succeeded")
        await api.delete(POD, namespace, "old", grace_seconds=0)
        await until(lambda: diary.last("old") == "gone" and diary.last("new") == "Succeeded")
        assert diary.of("old") == ["Pending", "Running", "Succeeded", "gone"]
        assert diary.of("new") == ["Pending", "Running", "Succeeded"]
        assert "others" not in diary.told
        # The last state is the one at its end.
        assert diary.told["old"][-1][1]["status"]["phase"] == "Succeeded"
        assert [kept["metadata"]["name"] for kept in informer] == ["new"]
        kept = informer.get(namespace, "new")
        assert kept is not None
        assert "managedFields" not in kept["metadata"]
        assert metric("flightlog_kubernetes_objects", namespace) == 1
        assert metric("flightlog_kubernetes_lists_total", namespace) == 1
    assert REGISTRY.get_sample_value("flightlog_kubernetes_objects", {"kind": "Pod", "namespace": namespace}) is None


async def test_a_pod_that_is_being_deleted_is_told_before_it_is_gone(api: Api, namespace: str) -> None:
    held = {**pod("held", {OURS: "1"})}
    held["metadata"]["finalizers"] = ["flightlog.test/held"]
    await api.create(POD, namespace, held)
    async with followed(api, POD, namespace) as (_, diary):
        await api.delete(POD, namespace, "held", grace_seconds=0)
        await until(lambda: diary.told["held"][-1][1]["metadata"].get("deletionTimestamp"))
        assert diary.last("held") == "Pending"
        await api.patch(POD, namespace, "held", {"metadata": {"finalizers": None}})
        await until(lambda: diary.last("held") == "gone")


async def test_an_object_that_loses_its_label_is_gone(api: Api, namespace: str) -> None:
    await api.create(CONFIG_MAP, namespace, config_map("one", {OURS: "1"}))
    async with followed(api, CONFIG_MAP, namespace, label_selector=OURS) as (informer, diary):
        await api.patch(CONFIG_MAP, namespace, "one", {"metadata": {"labels": {OURS: None}}})
        await until(lambda: diary.last("one") == "gone")
        assert len(informer) == 0


async def test_a_list_is_read_in_pages(kubernetes_settings: KubernetesSettings, namespace: str) -> None:
    settings = kubernetes_settings.model_copy(deep=True)
    settings.api.page = 3
    api = await Api.open(settings)
    try:
        for number in range(10):
            await api.create(CONFIG_MAP, namespace, config_map(f"c{number}", {OURS: "1"}))
        async with followed(api, CONFIG_MAP, namespace, label_selector=OURS) as (informer, diary):
            assert len(informer) == len(diary.told) == 10
    finally:
        await api.close()


async def test_a_cut_watch_goes_on_where_it_was(cluster: Cluster, api: Api, namespace: str, tmp_path: Path) -> None:
    async with (
        gate_to(cluster, tmp_path) as gate,
        through(gate) as cut,
        followed(cut, POD, namespace) as (_, diary),
    ):
        await api.create(POD, namespace, pod("p"))
        await until(lambda: diary.of("p") == ["Pending"])
        await gate.close()
        await phase(api, namespace, "p", "Running")
        await phase(api, namespace, "p", "Succeeded")
        await api.delete(POD, namespace, "p", grace_seconds=0)
        await gate.open()
        await until(lambda: diary.last("p") == "gone")
        # Nothing in between is lost, and nothing was listed again.
        assert diary.of("p") == ["Pending", "Running", "Succeeded", "gone"]
        assert metric("flightlog_kubernetes_lists_total", namespace) == 1


async def test_watches_that_end_go_on_without_a_list(
    kubernetes_settings: KubernetesSettings, api: Api, namespace: str
) -> None:
    settings = kubernetes_settings.model_copy(deep=True)
    settings.api.watch_seconds = 1
    short = await Api.open(settings)
    try:
        await api.create(POD, namespace, pod("p"))
        async with followed(short, POD, namespace) as (_, diary):
            watches = "flightlog_kubernetes_requests_total"
            labels = {"verb": "watch", "kind": "Pod", "code": "200"}
            before = REGISTRY.get_sample_value(watches, labels) or 0
            await until(lambda: (REGISTRY.get_sample_value(watches, labels) or 0) >= before + 2)
            await phase(api, namespace, "p", "Failed")
            await until(lambda: diary.last("p") == "Failed")
            assert diary.of("p") == ["Pending", "Failed"]
            assert metric("flightlog_kubernetes_lists_total", namespace) == 1
    finally:
        await short.close()


async def test_after_a_compaction_nothing_is_missed(cluster: Cluster, api: Api, namespace: str, tmp_path: Path) -> None:
    """410: the watch cannot go on; what became of each object in the meantime is told all the same."""
    async with gate_to(cluster, tmp_path) as gate, through(gate) as cut:
        for name in ("ends", "vanishes", "stays", "again"):
            await api.create(POD, namespace, pod(name))
        async with followed(cut, POD, namespace) as (informer, diary):
            first = informer.get(namespace, "again")
            assert first is not None
            await gate.close()
            await phase(api, namespace, "ends", "Succeeded")
            await api.delete(POD, namespace, "vanishes", grace_seconds=0)
            await api.delete(POD, namespace, "again", grace_seconds=0)
            second = await api.create(POD, namespace, pod("again"))
            await api.create(POD, namespace, pod("new"))
            await compact(cluster)
            await cluster.kill("kube-apiserver")
            await gate.open()
            # The first answers after its start are refusals and worse.
            await restart_api_server(cluster)
            await until(lambda: diary.of("new"))
            await until(lambda: diary.last("vanishes") == "gone")
            assert diary.of("ends") == ["Pending", "Succeeded"]
            assert diary.of("vanishes") == ["Pending", "gone"]
            assert diary.of("stays") == ["Pending"]
            assert diary.of("again") == ["Pending", "gone", "Pending"]
            told = [seen["metadata"]["uid"] for _, seen in diary.told["again"]]
            assert told == [first["metadata"]["uid"], first["metadata"]["uid"], second["metadata"]["uid"]]
            assert metric("flightlog_kubernetes_lists_total", namespace) >= 2
            # And it follows on.
            await phase(api, namespace, "stays", "Failed")
            await until(lambda: diary.last("stays") == "Failed")


async def test_an_api_server_that_is_killed_and_restarted(cluster: Cluster, api: Api, namespace: str) -> None:
    names = [f"p{number}" for number in range(20)]
    for name in names:
        await api.create(POD, namespace, pod(name))
    async with followed(api, POD, namespace) as (informer, diary):
        await cluster.kill("kube-apiserver")
        await restart_api_server(cluster)
        for name in names:
            await phase(api, namespace, name, "Succeeded")
        await api.delete(POD, namespace, "p0", grace_seconds=0)
        await until(lambda: diary.last("p0") == "gone" and all(diary.last(name) == "Succeeded" for name in names[1:]))
        assert diary.of("p0") == ["Pending", "Succeeded", "gone"]
        assert all(diary.of(name) == ["Pending", "Succeeded"] for name in names[1:])
        assert len(informer) == 19


async def test_it_waits_for_an_api_that_is_not_there_yet(
    cluster: Cluster, api: Api, namespace: str, tmp_path: Path
) -> None:
    await api.create(POD, namespace, pod("p"))
    async with gate_to(cluster, tmp_path) as gate, through(gate) as cut:
        await gate.close()
        diary = Diary()
        informer = Informer(cut, POD, namespace, on_change=diary.changed, on_gone=diary.gone)
        async with going(informer.run()):
            await until(lambda: metric("flightlog_kubernetes_lists_total", namespace) >= 3)
            assert not informer.synced.is_set()
            await gate.open()
            await informer.synced.wait()
            assert diary.of("p") == ["Pending"]


async def test_a_kind_that_comes_and_goes(api: Api, namespace: str) -> None:
    made = {"apiVersion": SPROCKET.api_version, "kind": SPROCKET.kind, "metadata": {"name": "s"}, "spec": {}}
    async with followed(api, SPROCKET, namespace) as (informer, diary):
        assert len(informer) == 0
        await serve(api, SPROCKET)
        try:
            await api.create(SPROCKET, namespace, made)
            informer.prompt()
            await until(lambda: diary.of("s"))
        finally:
            await api.delete(CRD, None, "sprockets.informer.flightlog.test")
        await until(lambda: diary.last("s") == "gone")


async def test_one_that_cannot_be_dealt_with_does_not_stop_others(api: Api, namespace: str) -> None:
    for name in ("bad", "good"):
        await api.create(CONFIG_MAP, namespace, config_map(name, {OURS: "1"}))
    diary = Diary()

    def changed(seen: Object) -> None:
        if seen["metadata"]["name"] == "bad":
            raise ValueError("nobody can read this")
        diary.changed(seen)

    informer = Informer(api, CONFIG_MAP, namespace, label_selector=OURS, on_change=changed, on_gone=diary.gone)
    async with going(informer.run()):
        await informer.synced.wait()
        assert diary.of("good") == ["changed"]
        assert informer.get(namespace, "bad") is not None
        assert metric("flightlog_kubernetes_change_errors_total", namespace, "ConfigMap") == 1


async def test_what_is_kept_is_chosen(api: Api, namespace: str) -> None:
    def keep(seen: Object) -> Object:
        return {"metadata": seen["metadata"], "status": seen["status"]}

    await api.create(POD, namespace, pod("p"))
    async with followed(api, POD, namespace, keep=keep) as (informer, diary):
        kept = informer.get(namespace, "p")
        assert kept is not None
        assert kept.keys() == {"metadata", "status"}
        assert "spec" in diary.told["p"][0][1]


async def test_all_namespaces(api: Api, namespace: str) -> None:
    label = f"flightlog.test/{uuid4().hex[:8]}"
    await api.create(CONFIG_MAP, namespace, config_map("here", {label: "1"}))
    await api.create(CONFIG_MAP, "default", config_map(f"there-{namespace}", {label: "1"}))
    try:
        async with followed(api, CONFIG_MAP, None, label_selector=label) as (informer, _):
            assert {kept["metadata"]["namespace"] for kept in informer} == {namespace, "default"}
    finally:
        await api.delete(CONFIG_MAP, "default", f"there-{namespace}")


@pytest.mark.parametrize("missing", ["list", "watch"])
async def test_rights_that_come_later(cluster: Cluster, api: Api, namespace: str, tmp_path: Path, missing: str) -> None:
    """An account that may not list or watch is waited for too: somebody gives it the right."""
    rbac = "rbac.authorization.k8s.io/v1"
    role, binding = Kind(rbac, "Role", "roles"), Kind(rbac, "RoleBinding", "rolebindings")

    def rule(*verbs: str) -> Object:
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}]
        return {"apiVersion": rbac, "kind": "Role", "metadata": {"name": "reader"}, "rules": rules}

    await api.create(role, namespace, rule(*({"list", "watch"} - {missing})))
    await api.create(
        binding,
        namespace,
        {
            "apiVersion": rbac,
            "kind": "RoleBinding",
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        },
    )
    async with as_account(cluster, api, namespace, tmp_path) as weak:
        diary = Diary()
        informer = Informer(weak, POD, namespace, on_change=diary.changed, on_gone=diary.gone)
        async with going(informer.run()):
            await until(lambda: metric("flightlog_kubernetes_watch_breaks_total", namespace) >= 2)
            await api.patch(role, namespace, "reader", {"rules": rule("list", "watch")["rules"]})
            await informer.synced.wait()
            await api.create(POD, namespace, pod("p"))
            await until(lambda: diary.of("p") == ["Pending"])


async def test_a_kind_that_is_neither_served_nor_allowed_has_no_objects(
    cluster: Cluster, api: Api, namespace: str, tmp_path: Path
) -> None:
    nowhere = Kind("nowhere.flightlog.test/v1", "Nothing", "nothings")
    async with (
        as_account(cluster, api, namespace, tmp_path) as weak,
        followed(weak, nowhere, namespace) as (informer, _),
    ):
        assert len(informer) == 0
