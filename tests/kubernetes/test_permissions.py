"""What the launcher's role allows is what the launcher does: no call is refused, and little else is allowed."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import pytest
import pytest_asyncio
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flightlog_cli.generate import ROOT
from flightlog_cli.stack_process import StackProcess
from flightlog_cluster.cluster import Cluster
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import (
    CONFIG_MAP,
    EVENT,
    LEASE,
    NAMESPACE,
    POD,
    POD_TEMPLATE,
    SECRET,
    Kind,
)
from services.k8s_launcher.kubernetes.plugins import dask, mpi, pytorch, ray, spark, tensorflow
from services.k8s_launcher.kubernetes.queueing.volcano import POD_GROUP
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import until
from tests.kubernetes.deploying import Manifest, elsewhere
from tests.kubernetes.whole_runs import Stack
from tests.unit.deployment.rendering import of_kind, rendered

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False)
LAUNCHER = ROOT / "services" / "k8s_launcher"
TEMPLATES = ROOT / "deploy" / "k8s" / "components" / "project-namespaces" / "templates"
ATTEMPTS = (
    POD,
    *(framework.kind for framework in (pytorch.FRAMEWORK, tensorflow.FRAMEWORK, mpi.FRAMEWORK)),
    ray.KIND,
    spark.KIND,
    dask.KIND,
)
"""What runs attempts."""
OF_TEMPLATES = (NAMESPACE, QUOTA)
"""What the templates of deploy/k8s make, and the quota that most would add."""

_VERBS = {"get": ["get"], "pages": ["list"], "list": ["list"], "watch": ["watch"], "create": ["create"]}
_VERBS |= {"replace": ["update"], "delete": ["delete"], "patch": ["patch"], "apply": ["create", "patch"]}

CALLS: dict[tuple[str, str, str], tuple[Kind, ...]] = {
    ("kubernetes/informer.py", "watch", "self.kind"): (CONFIG_MAP, EVENT, POD_TEMPLATE, *ATTEMPTS),
    ("kubernetes/informer.py", "pages", "self.kind"): (CONFIG_MAP, EVENT, POD_TEMPLATE, *ATTEMPTS),
    ("kubernetes/owners.py", "patch", "CONFIG_MAP"): (CONFIG_MAP,),
    ("kubernetes/owners.py", "delete", "CONFIG_MAP"): (CONFIG_MAP,),
    ("kubernetes/owners.py", "create", "CONFIG_MAP"): (CONFIG_MAP,),
    ("kubernetes/owners.py", "get", "CONFIG_MAP"): (CONFIG_MAP,),
    ("kubernetes/pod_templates.py", "get", "POD_TEMPLATE"): (POD_TEMPLATE,),
    ("kubernetes/cleaning.py", "delete", "kind"): (*ATTEMPTS, POD_GROUP),
    ("kubernetes/cleaning.py", "get", "kind"): ATTEMPTS,
    ("kubernetes/creating.py", "create", "kind"): (POD_GROUP,),
    ("kubernetes/creating.py", "create", "marked.kind"): ATTEMPTS,
    ("kubernetes/creating.py", "get", "marked.kind"): ATTEMPTS,
    ("kubernetes/lease.py", "get", "LEASE"): (LEASE,),
    ("kubernetes/lease.py", "replace", "LEASE"): (LEASE,),
    ("kubernetes/lease.py", "create", "LEASE"): (LEASE,),
    ("kubernetes/cluster_resources/applying.py", "apply", "kind"): OF_TEMPLATES,
    ("kubernetes/credentials.py", "apply", "SECRET"): (SECRET,),
}
"""Every place in the launcher's code that calls the API: file, method, and the expression that names the kind; and
which kinds that may be."""


def calls_in_code() -> Iterator[tuple[str, str, str]]:
    """The calls of an Api in the launcher's code."""
    for path in sorted(LAUNCHER.rglob("*.py")):
        if path.name == "api.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if ast.unparse(node.func.value) not in ("api", "self._api", "self.api"):
                continue
            method = node.func.attr
            if method == "patch" and any("APPLY" in ast.unparse(keyword.value) for keyword in node.keywords):
                method = "apply"
            if method in _VERBS:
                yield path.relative_to(LAUNCHER).as_posix(), method, ast.unparse(node.args[0])


@dataclass(frozen=True)
class Account:
    """The launcher's service account, in an installation of its own."""

    namespace: str
    api: Api
    """As this account."""
    kubeconfig: Path

    async def may(self, verb: str, kind: Kind, namespace: str, name: str = "", subresource: str = "") -> bool:
        """As `kubectl auth can-i` asks."""
        group, _, _ = kind.api_version.rpartition("/")
        asked: dict[str, Any] = {"verb": verb, "group": group, "resource": kind.plural, "name": name}
        asked |= {"subresource": subresource, "namespace": namespace if kind.namespaced else ""}
        review = {"apiVersion": REVIEW.api_version, "kind": REVIEW.kind, "metadata": {}}
        answer = await self.api.create(REVIEW, None, {**review, "spec": {"resourceAttributes": asked}})
        return answer["status"]["allowed"]


def own(manifests: list[Manifest], namespace: str) -> list[Manifest]:
    """Roles and bindings of an overlay, with names of their own where these are the whole cluster's."""
    kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    moved = elsewhere(of_kind(manifests, *kinds), namespace)
    for manifest in moved:
        if manifest["kind"].startswith("Cluster"):
            manifest["metadata"]["name"] += f".{namespace}"
        if manifest.get("roleRef", {}).get("kind") == "ClusterRole":
            manifest["roleRef"]["name"] += f".{namespace}"
    return moved


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def account(cluster: Cluster, api: Api, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    """The launcher's account with the roles of the production overlay, and a token of its own."""
    namespace = f"flightlog-{uuid4().hex[:8]}"
    await api.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    made: list[tuple[Kind, str]] = []
    for manifest in own(rendered("production"), namespace):
        kind = await api.find(manifest["apiVersion"], manifest["kind"])
        assert kind is not None
        await api.create(kind, manifest["metadata"].get("namespace"), manifest)
        if not kind.namespaced:
            made.append((kind, manifest["metadata"]["name"]))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = await api.create(
        SERVICE_ACCOUNT, namespace, {**request, "metadata": {"name": "k8s-launcher"}}, subresource="token"
    )
    kubeconfig = tmp_path_factory.mktemp("account") / "kubeconfig"
    content = yaml.safe_load(cluster.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": token["status"]["token"]}
    kubeconfig.write_text(json.dumps(content))
    opened = await Api.open(KubernetesSettings.model_validate({"kubeconfig": kubeconfig}))
    yield Account(namespace, opened, kubeconfig)
    await opened.close()
    for kind, name in made:
        await api.delete(kind, None, name)
    await api.delete(NAMESPACE, None, namespace)


def test_every_call_of_the_launcher_is_known_here() -> None:
    """Whoever calls the API in a new place says in CALLS what for; the tests below say whether it is allowed."""
    assert set(calls_in_code()) == set(CALLS)


async def test_the_role_allows_every_call_of_the_launcher(account: Account) -> None:
    refused: list[tuple[str, str]] = []
    for (_, method, _), kinds in CALLS.items():
        for kind in kinds:
            for verb in _VERBS[method]:
                where = account.namespace if kind is LEASE else "any-development"
                name = _name(kind, verb)
                if not await account.may(verb, kind, where, name):
                    refused.append((verb, kind.kind))
    assert not refused


def _name(kind: Kind, verb: str) -> str:
    """Of the object, where the role is for that alone."""
    settings = KubernetesSettings()
    if kind is SECRET:
        return settings.raw_containers.credentials_secret
    return settings.lease.name if kind is LEASE and verb != "create" else ""


async def test_the_role_allows_no_more_than_that(account: Account) -> None:
    """Each verb of each rule is one that a call needs."""
    needed: dict[str, set[str]] = {}
    for (_, method, _), kinds in CALLS.items():
        for kind in kinds:
            needed.setdefault(kind.plural, set()).update(_VERBS[method])
    # What further templates may make, without a change of the role.
    needed |= {plural: {"create", "patch"} for plural in ("limitranges", "serviceaccounts")}
    for role in of_kind(rendered("production"), "ClusterRole", "Role"):
        for rule in role["rules"]:
            for plural in rule["resources"]:
                assert set(rule["verbs"]) <= needed[plural], (role["metadata"]["name"], plural)


@pytest.mark.parametrize(
    ("verb", "kind", "subresource"),
    [
        ("get", SECRET, ""),
        ("list", SECRET, ""),
        ("delete", SECRET, ""),
        ("patch", SECRET, ""),
        ("create", SECRET, ""),
        ("create", POD, "exec"),
        ("create", POD, "attach"),
        ("get", POD, "log"),
        ("patch", POD, ""),
        ("create", SERVICE_ACCOUNT, "token"),
        ("delete", NAMESPACE, ""),
        ("list", Kind("v1", "Node", "nodes", namespaced=False), ""),
        ("create", Kind("apps/v1", "Deployment", "deployments"), ""),
        ("create", Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False), ""),
        ("bind", Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False), ""),
        ("impersonate", SERVICE_ACCOUNT, ""),
    ],
)
async def test_what_would_be_dangerous_is_not_allowed(
    account: Account, verb: str, kind: Kind, subresource: str
) -> None:
    for namespace in (account.namespace, "any-development"):
        assert not await account.may(verb, kind, namespace, subresource=subresource)


async def test_a_launcher_with_this_account_does_its_work(
    account: Account, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing that it asks of the API is refused: a namespace with its secret is made, a task gets a pod, the run is
    ended, pod and owner are removed."""
    place = f"{account.namespace}-flytesnacks-development"
    settings = {
        "LAUNCHER__RUNTIME": "kubernetes",
        "KUBERNETES__KUBECONFIG": str(account.kubeconfig),
        "KUBERNETES__OWN_NAMESPACE": account.namespace,
        "KUBERNETES__INSTANCE": account.namespace,
        "KUBERNETES__NAMESPACE_TEMPLATE": f"{account.namespace}-{{project}}-{{domain}}",
        "KUBERNETES__CLUSTER_RESOURCES__DIRECTORY": str(TEMPLATES),
        "KUBERNETES__CLEANING__KEEP_FINISHED_HOURS": "0",
        "KUBERNETES__CLEANING__SWEEP_MINUTES": "0.01",
        "KUBERNETES__PODS__SCHEDULER_NAME": "nobody",
    }
    environment = {f"FLIGHTLOG_{name}": value for name, value in settings.items()}
    with StackProcess(tmp_path_factory.mktemp("stack"), environment=environment) as stack:
        client = Stack(stack, api, settings["KUBERNETES__NAMESPACE_TEMPLATE"])
        execution = (await client.run()).id.name
        await client.close()

        async def pods() -> list[Manifest]:
            return (await api.list(POD, place)).items

        async def owners() -> list[Manifest]:
            found = (await api.list(CONFIG_MAP, place)).items
            return [one for one in found if one["metadata"]["name"].startswith("flyte-exec-")]

        (pod,) = await until(pods, 120)
        (owner,) = await owners()
        assert (await api.get(SECRET, place, "flightlog-tasks-object-store"))["data"]
        assert owner["metadata"]["name"].removeprefix("flyte-exec-") == execution
        assert pod["metadata"]["ownerReferences"][0]["name"] == owner["metadata"]["name"]
        ended = await asyncio.to_thread(stack.cli, "terminate", f"flytesnacks/development/{execution}")
        assert ended.returncode == 0, ended.stdout + ended.stderr

        async def removed() -> bool:
            return not await pods() and not await owners()

        await until(removed, 120)
        page = await asyncio.to_thread(_page, stack.endpoints["metrics"]["k8s_launcher"])
    answers = [
        (sample.labels["verb"], sample.labels["kind"], sample.labels["code"])
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "flightlog_kubernetes_requests_total"
    ]
    assert {("create", "Pod", "201"), ("apply", "Namespace", "201"), ("apply", "Secret", "201")} <= set(answers)
    assert not [answer for answer in answers if answer[2] in ("401", "403")]


def _page(address: str) -> str:
    with urlopen(address, timeout=30) as answer:
        return answer.read().decode()


async def test_secrets_of_others_are_not_the_launchers(account: Account) -> None:
    """Whoever may patch one is told what is in it."""
    name = KubernetesSettings().raw_containers.credentials_secret
    for verb in ("get", "list", "watch", "update", "delete"):
        assert not await account.may(verb, SECRET, "any-development", name)
    for verb in ("create", "patch"):
        assert not await account.may(verb, SECRET, "any-development", "another")


async def test_leases_of_others_are_not_the_launchers(account: Account) -> None:
    assert not await account.may("update", LEASE, account.namespace, "another")
    assert not await account.may("update", LEASE, "kube-system", "flightlog-launcher")
    assert not await account.may("list", LEASE, account.namespace)
