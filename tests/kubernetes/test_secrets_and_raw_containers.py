"""Pods with secrets, and of raw containers, at a real API server; what it does not know, it would drop or refuse."""

from __future__ import annotations

import base64

import pytest
from flyteidl.core.security_pb2 import Secret

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiRefused
from services.k8s_launcher.kubernetes.objects import NAMESPACE, POD, SECRET, Kind, Object
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.kubernetes.secret_settings import SecretInjectionSettings
from services.k8s_launcher.kubernetes.secrets import inject
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.kubernetes.asking import until
from tests.unit.kubernetes.pods.tasks import task
from tests.unit.kubernetes.test_raw_containers import STORE, raw

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
LONG = "g" * 200


def request(group: str, key: str, requirement: Secret.MountType, **fields: str) -> Secret:
    return Secret(group=group, key=key, mount_requirement=requirement, **fields)


@pytest.fixture
async def ready(api: Api, namespace: str) -> str:
    """A namespace that takes pods: its service account has been made."""

    async def has_account() -> bool:
        return bool((await api.list(SERVICE_ACCOUNT, namespace)).items)

    await until(has_account)
    return namespace


def manifest(spec: Object, namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "with-secrets", "namespace": namespace},
        "spec": {**spec, "restartPolicy": "Never"},
    }


async def test_pods_with_secrets_are_taken_as_they_are(api: Api, ready: str) -> None:
    """T83 to T88: all forms in one pod, of groups with long names and versions too, whether they exist or not."""
    exists = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "my-group"}, "data": {"My_Key": _base64("x")}}
    await api.create(SECRET, ready, exists)
    secrets = [
        request("my-group", "My_Key", Secret.FILE, env_var="KEY_FILE"),
        request("my-group", "other.key", Secret.ANY, group_version="V1"),
        request("my-group", "My_Key", Secret.ENV_VAR, env_var="TOKEN", group_version="v2.1"),
        request("not.there", "k", Secret.ENV_VAR),
        request(LONG, "k", Secret.FILE),
    ]
    spec = {
        "initContainers": [{"name": "before", "image": "a"}],
        "containers": [{"name": "main", "image": "b"}, {"name": "beside", "image": "c"}],
    }
    sent = inject(spec, secrets, SecretInjectionSettings(mode="native"))
    kept = (await api.create(POD, ready, manifest(sent, ready)))["spec"]
    ours = {volume["name"]: volume for volume in sent["volumes"]}
    volumes = {volume["name"]: volume for volume in kept["volumes"] if volume["name"] in ours}
    for volume in volumes.values():
        assert volume["secret"].pop("defaultMode") == 0o644
    assert volumes == ours
    for kind in ("initContainers", "containers"):
        for container_sent, container_kept in zip(sent[kind], kept[kind], strict=True):
            mounts = [mount for mount in container_kept["volumeMounts"] if mount["name"] in ours]
            assert mounts == container_sent["volumeMounts"]
            assert {entry["name"] for entry in container_kept["env"]} == {
                entry["name"] for entry in container_sent["env"]
            }
            references = [e["valueFrom"] for e in container_kept["env"] if "valueFrom" in e]
            assert references == [e["valueFrom"] for e in container_sent["env"] if "valueFrom" in e]


async def test_flytes_two_mounts_at_one_path_are_what_kubernetes_refuses(api: Api, ready: str) -> None:
    """Why versions of a group are merged: the pod that Flyte's webhook makes of them."""
    mounts = [{"name": name, "mountPath": "/etc/flyte/secrets/g", "readOnly": True} for name in ("a", "b")]
    spec = {
        "containers": [{"name": "main", "image": "i", "volumeMounts": mounts}],
        "volumes": [{"name": name, "secret": {"secretName": "g"}} for name in ("a", "b")],
    }
    with pytest.raises(ApiRefused, match="must be unique"):
        await api.create(POD, ready, manifest(spec, ready), dry_run=True)


async def test_pod_of_a_raw_container_is_taken_as_it_is(api: Api, ready: str) -> None:
    """T34, with secrets in its containers too; the sidecar is one to Kubernetes."""
    store = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "flightlog-tasks-object-store"},
        "data": {"FLYTE_AWS_ACCESS_KEY_ID": _base64("key"), "FLYTE_AWS_SECRET_ACCESS_KEY": _base64("s3cret")},
    }
    await api.create(SECRET, ready, store)
    template = raw()
    template.security_context.secrets.append(request("my-group", "k", Secret.FILE))
    settings = KubernetesSettings.model_validate({"raw_containers": {**STORE, "volume_size": "1Gi"}})
    sent = build_pod(task(template, settings_of=settings)).manifest
    sent["metadata"]["namespace"] = ready
    kept = (await api.create(POD, ready, sent))["spec"]
    assert [container["name"] for container in kept["initContainers"]] == [
        "flyte-copilot-uploader",
        "flyte-copilot-downloader",
    ]
    for container_sent, container_kept in zip(sent["spec"]["initContainers"], kept["initContainers"], strict=True):
        assert _without_defaults(container_kept, container_sent) == container_sent
    assert kept["terminationGracePeriodSeconds"] == 3600
    assert kept["containers"][0]["volumeMounts"][:2] == sent["spec"]["containers"][0]["volumeMounts"][:2]
    assert "s3cret" not in str(kept)


async def test_pod_of_a_raw_container_is_taken_where_pods_must_be_restricted(api: Api, ready: str) -> None:
    """The operator's defaults for containers make a task's pod fit; what copies fits too."""
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await api.patch(NAMESPACE, None, ready, enforced)
    refused = build_pod(task(raw(), settings_of=KubernetesSettings.model_validate({"raw_containers": STORE})))
    with pytest.raises(ApiRefused, match="violates PodSecurity"):
        await api.create(POD, ready, {**refused.manifest, "metadata": {"name": "refused"}}, dry_run=True)
    rights = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    settings = KubernetesSettings.model_validate(
        {"raw_containers": STORE, "pods": {"default_security_context": rights}}
    )
    fits = build_pod(task(raw(), settings_of=settings)).manifest
    assert await api.create(POD, ready, {**fits, "metadata": {"name": "fits"}}, dry_run=True)


async def test_pod_of_a_raw_container_without_inputs_is_taken(api: Api, ready: str) -> None:
    """T35."""
    settings = KubernetesSettings.model_validate({"raw_containers": STORE})
    sent = build_pod(task(raw(inputs=None, command=["tool"]), settings_of=settings)).manifest
    sent["metadata"]["namespace"] = ready
    kept = (await api.create(POD, ready, sent, dry_run=True))["spec"]
    assert [container["name"] for container in kept["initContainers"]] == ["flyte-copilot-uploader"]
    assert kept["initContainers"][0]["restartPolicy"] == "Always"
    assert "flyte-inputs" not in {volume["name"] for volume in kept["volumes"]}


def _without_defaults(kept: Object, sent: Object) -> Object:
    """What is kept, as far as it was sent; service account tokens and defaults of probes left out."""
    found = {name: kept[name] for name in sent}
    known = {mount["name"] for mount in sent["volumeMounts"]}
    # An empty value is not kept, which is the same.
    found["env"] = [entry if len(entry) > 1 else {**entry, "value": ""} for entry in kept["env"]]
    found["volumeMounts"] = [mount for mount in kept["volumeMounts"] if mount["name"] in known]
    if "startupProbe" in sent:
        found["startupProbe"] = {name: kept["startupProbe"][name] for name in sent["startupProbe"]}
    return found


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
