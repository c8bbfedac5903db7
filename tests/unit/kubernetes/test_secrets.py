"""Secrets in pods: k8s-contract §4, test cases T83–T91 as far as they need no cluster."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from flyteidl.core.security_pb2 import Secret
from flytekit.core.context_manager import SecretsManager
from google.protobuf import text_format

from services.k8s_launcher.kubernetes.secret_settings import SecretInjectionSettings
from services.k8s_launcher.kubernetes.secrets import inject, marks
from services.k8s_launcher.task_templates import NotLaunchable

NATIVE = SecretInjectionSettings(mode="native")
WEBHOOK = SecretInjectionSettings(mode="webhook")
POD: dict[str, Any] = {
    "initContainers": [{"name": "before", "image": "a"}],
    "containers": [{"name": "main", "image": "b"}, {"name": "beside", "image": "c"}],
}


def _file(key: str = "My_Key", **fields: Any) -> Secret:
    return Secret(group=fields.pop("group", "my-group"), key=key, mount_requirement=Secret.FILE, **fields)


def _variable(key: str = "My_Key", **fields: Any) -> Secret:
    return Secret(group=fields.pop("group", "my-group"), key=key, mount_requirement=Secret.ENV_VAR, **fields)


def _containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec["initContainers"], *spec["containers"]]


def _environment(container: dict[str, Any]) -> dict[str, Any]:
    entries = container.get("env", [])
    found = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}
    assert len(found) == len(entries), "no name twice"
    return found


def test_a_file_is_a_volume_mounted_in_all_containers() -> None:
    """T83."""
    spec = inject(POD, [_file()], NATIVE)
    assert spec["volumes"] == [
        {
            "name": "nv3s1z2sn41xaxy",
            "secret": {
                "secretName": "my-group",
                "items": [{"key": "My_Key", "path": "my_key"}],
                "optional": True,
            },
        }
    ]
    for container in _containers(spec):
        assert container["volumeMounts"] == [
            {"name": "nv3s1z2sn41xaxy", "mountPath": "/etc/flyte/secrets/my-group", "readOnly": True}
        ]
        assert _environment(container) == {
            "FLYTE_SECRETS_DEFAULT_DIR": "/etc/flyte/secrets",
            "FLYTE_SECRETS_FILE_PREFIX": "",
        }


def test_a_variable_refers_to_the_secret_in_all_containers() -> None:
    """T84."""
    spec = inject(POD, [_variable()], NATIVE)
    reference = {"secretKeyRef": {"name": "my-group", "key": "My_Key", "optional": True}}
    assert "volumes" not in spec
    for container in _containers(spec):
        assert _environment(container) == {
            "_FSEC_MY-GROUP_MY_KEY": reference,
            "FLYTE_SECRETS_ENV_PREFIX": "_FSEC_",
        }


def test_any_is_a_file() -> None:
    """T85."""
    either = _file()
    either.mount_requirement = Secret.ANY
    assert inject(POD, [either], NATIVE) == inject(POD, [_file()], NATIVE)


def test_a_variable_has_the_name_asked_for_too() -> None:
    """T86."""
    variables = _environment(inject(POD, [_variable(env_var="TOKEN")], NATIVE)["containers"][0])
    assert (
        variables["TOKEN"]
        == variables["_FSEC_MY-GROUP_MY_KEY"]
        == {"secretKeyRef": {"name": "my-group", "key": "My_Key", "optional": True}}
    )


def test_the_variable_of_a_file_is_its_path() -> None:
    variables = _environment(inject(POD, [_file(env_var="TOKEN_FILE")], NATIVE)["containers"][0])
    assert variables["TOKEN_FILE"] == "/etc/flyte/secrets/my-group/my_key"


def test_keys_of_a_group_share_volume_and_mount() -> None:
    """T87."""
    spec = inject(POD, [_file("a"), _file("B"), _file("a")], NATIVE)
    (volume,) = spec["volumes"]
    assert volume["secret"]["items"] == [{"key": "a", "path": "a"}, {"key": "B", "path": "b"}]
    for container in _containers(spec):
        assert len(container["volumeMounts"]) == 1


def test_versions_of_a_group_share_volume_and_mount() -> None:
    """Flyte makes two mounts at one path of them, which Kubernetes refuses."""
    spec = inject(POD, [_file("a", group_version="V1"), _file("a", group_version="2"), _file("b")], NATIVE)
    (volume,) = spec["volumes"]
    assert [item["path"] for item in volume["secret"]["items"]] == ["a", "v1/a", "2/a", "b"]
    assert {item["key"] for item in volume["secret"]["items"]} == {"a", "b"}
    assert len(spec["containers"][0]["volumeMounts"]) == 1


@pytest.mark.parametrize("version", ["", "V1"])
def test_flytekit_finds_variables(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    secret = _variable(group_version=version)
    for name, value in _environment(inject(POD, [secret], NATIVE)["containers"][0]).items():
        monkeypatch.setenv(name, "s3cret" if isinstance(value, dict) else value)
    assert SecretsManager().get("my-group", "My_Key", group_version=version or None) == "s3cret"
    assert SecretsManager().get("my-group", "My_Key") == "s3cret"


@pytest.mark.parametrize("version", ["", "V1"])
def test_flytekit_finds_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, version: str) -> None:
    secret = _file(group_version=version)
    spec = inject(POD, [secret], NATIVE)
    (volume,) = spec["volumes"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    # What the kubelet does, below a folder of ours.
    for item in volume["secret"]["items"]:
        path = tmp_path / mount["mountPath"].lstrip("/") / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s3cret\n")
    for name, value in _environment(spec["containers"][0]).items():
        monkeypatch.setenv(name, f"{tmp_path}{value}" if value.startswith("/") else value)
    assert SecretsManager().get("my-group", "My_Key", group_version=version or None) == "s3cret"
    assert SecretsManager().get("my-group", "My_Key") == "s3cret"


def test_names_that_are_there_stay() -> None:
    pod = copy.deepcopy(POD)
    mine = {"name": "TOKEN", "value": "mine"}
    mount = {"name": "own", "mountPath": "/etc/flyte/secrets/my-group"}
    pod["containers"][0] |= {"env": [mine], "volumeMounts": [mount]}
    pod["volumes"] = [{"name": "own", "emptyDir": {}}]
    before = copy.deepcopy(pod)
    spec = inject(pod, [_variable(env_var="TOKEN"), _file("b")], NATIVE)
    assert pod == before, "what is given is not changed"
    first, second = spec["containers"]
    assert _environment(first)["TOKEN"] == "mine"
    assert first["volumeMounts"] == [mount]
    assert _environment(second)["TOKEN"] != "mine"
    assert [volume["name"] for volume in spec["volumes"]] == ["own", "nv3s1z2sn41xaxy"]


def test_twice_is_once() -> None:
    secrets = [_file("a", group_version="1"), _variable("b", env_var="TOKEN")]
    once = inject(POD, secrets, NATIVE)
    assert inject(once, secrets, NATIVE) == once


def test_the_volume_of_a_group_with_a_long_name_has_a_name_that_kubernetes_takes() -> None:
    first, second = (inject(POD, [_file(group=f"{'g' * 200}{last}")], NATIVE)["volumes"][0]["name"] for last in "ab")
    assert first != second
    assert len(first) <= 63
    assert first.isalnum()


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (Secret(group="my-group"), "names no key"),
        (Secret(key="k"), "names no group"),
        (_file(group="My_Group"), "no Kubernetes Secret can have the name"),
        (_file(group="../up"), "no Kubernetes Secret can have the name"),
        (_variable("a/b"), "no Kubernetes Secret can have the data key"),
        (_file(".."), "no Kubernetes Secret can have the data key"),
        (_file("."), "no Kubernetes Secret can have the data key"),
        (_file(group_version="../../x"), "cannot be part of a file's name"),
        (Secret(group="g", key="k", mount_requirement=7), "unknown mount requirement"),  # type: ignore[arg-type]
    ],
)
def test_what_no_secret_can_fulfil_is_refused(secret: Secret, says: str) -> None:
    """T89: Flyte starts the pod without any of its secrets."""
    with pytest.raises(NotLaunchable, match=says) as refused:
        inject(POD, [_file("fine"), secret], NATIVE)
    assert refused.value.code == "FailedToBuildResource"
    assert not refused.value.recoverable


def test_two_keys_cannot_be_one_file() -> None:
    with pytest.raises(NotLaunchable, match="would be one file"):
        inject(POD, [_file("A"), _file("a")], NATIVE)
    with pytest.raises(NotLaunchable, match="as a key and as a version"):
        inject(POD, [_file("a"), _file("b", group_version="a")], NATIVE)


def test_the_webhook_reads_what_was_asked_for() -> None:
    """T91: what the webhook does, written down anew: base 32 with another alphabet, then the text form."""
    secrets = [_file(group_version="v1"), _variable(env_var="TOKEN"), Secret(group='q"uo\\te', key="\n\u00e9\u4e2d")]
    found = marks(secrets, WEBHOOK)
    assert found.labels == {"inject-flyte-secrets": "true"}
    assert list(found.annotations) == ["flyte.secrets/s0", "flyte.secrets/s1", "flyte.secrets/s2"]
    assert [_decoded(text) for text in found.annotations.values()] == secrets
    assert inject(POD, secrets, WEBHOOK) == POD


def _decoded(text: str) -> Secret:
    bits = "".join(f"{'abcdefghijklmnopqrstuvwxyz123456'.index(letter):05b}" for letter in text)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
    return text_format.Parse(data.decode(), Secret())


def test_too_much_for_annotations_is_refused() -> None:
    with pytest.raises(NotLaunchable, match="longer than Kubernetes takes"):
        marks([_file("k" * 200_000)], WEBHOOK)


def test_pods_are_marked_for_a_webhook_only() -> None:
    for mode in ("native", "none"):
        found = marks([_file()], SecretInjectionSettings(mode=mode))
        assert (dict(found.labels), dict(found.annotations)) == ({}, {})
    assert inject(POD, [_file()], SecretInjectionSettings(mode="none")) == POD
    assert marks([], WEBHOOK).labels == {}
