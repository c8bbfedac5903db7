"""Secrets that tasks ask for, put into their pods (k8s-contract §4).

`Secret(group=…, key=…)` means the data key `key` of the Kubernetes Secret `group` in the pod's namespace. The launcher
writes the reference into the pod itself, so no webhook is needed; the value is never seen by it. With an existing Flyte
webhook (`secrets.mode: webhook`) pods are marked for that instead. Pure: no input or output, no clock.

Where a task finds its secrets is where flytekit's `current_context().secrets` looks, asked with a group's version or
without: files `/etc/flyte/secrets/<group>/[<version>/]<key>` in lower case, and variables
`_FSEC_<GROUP>_[<VERSION>_]<KEY>`.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flyteidl.core.security_pb2 import Secret
from google.protobuf import text_format

from flightlog_types.base32 import base32
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.secret_settings import SecretInjectionSettings
from services.k8s_launcher.task_templates import NotLaunchable

_FOLDER: Final = "/etc/flyte/secrets"
_VARIABLE_PREFIX: Final = "_FSEC_"
_LONGEST_VOLUME_NAME: Final = 63
_LONGEST_ANNOTATIONS: Final = 256 * 1024
_GROUP: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY: Final = re.compile(r"(?!\.\.|\.$)[-._a-zA-Z0-9]{1,253}")


@dataclass(frozen=True)
class Marks:
    """What the metadata of a pod says of its secrets, for those who act on it."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])


def marks(secrets: Iterable[Secret], settings: SecretInjectionSettings) -> Marks:
    """Labels and annotations for an existing Flyte webhook (k8s-contract §4.1); none in the other modes.

    They belong on each pod, and on each pod template of an object whose operator makes the pods. Raises
    `NotLaunchable`, when the requests are larger than Kubernetes takes.
    """
    requests = list(secrets)
    if settings.mode != "webhook" or not requests:
        return Marks()
    annotations = {f"flyte.secrets/s{i}": base32(_text(secret).encode()) for i, secret in enumerate(requests)}
    if sum(len(name) + len(value) for name, value in annotations.items()) > _LONGEST_ANNOTATIONS:
        raise _refusal("the requests for secrets are longer than Kubernetes takes of annotations (256 KiB)")
    return Marks({"inject-flyte-secrets": "true"}, annotations)


def inject(pod_spec: Object, secrets: Iterable[Secret], settings: SecretInjectionSettings) -> Object:
    """A pod's spec with the secrets in all its containers and init containers (k8s-contract §4.3).

    `pod_spec` is that of a pod or of a pod template in an operator's object; it is left as it is. Variables and mounts
    that a container has already stay its own. A Secret object that does not exist keeps no pod from starting.

    Raises `NotLaunchable` for requests that no Secret object could fulfil: without group or key, or with names that
    Kubernetes forbids.
    """
    requests = list(secrets)
    if settings.mode != "native" or not requests:
        return pod_spec
    for secret in requests:
        _check(secret)
    spec = copy.deepcopy(pod_spec)
    volumes, mounts = _volumes(secret for secret in requests if _is_file(secret))
    _append(spec, "volumes", volumes, by="name")
    variables = list(_variables(requests))
    for kind in ("initContainers", "containers"):
        containers: list[dict[str, Any]] = spec.get(kind) or []
        for container in containers:
            taken = {mount.get("mountPath") for mount in container.get("volumeMounts") or []}
            _append(container, "volumeMounts", (m for m in mounts if m["mountPath"] not in taken), by="name")
            _append(container, "env", variables, by="name")
    return spec


def _volumes(secrets: Iterable[Secret]) -> tuple[list[Object], list[Object]]:
    """A volume for each group, with all its keys in all the places they are looked for; and where it is mounted."""
    items: dict[str, dict[str, str]] = {}
    versions: dict[str, str] = {}
    for secret in secrets:
        versions.setdefault(secret.group, secret.group_version)
        paths = items.setdefault(secret.group, {})
        for path in _paths(secret):
            if paths.setdefault(path, secret.key) != secret.key:
                raise _refusal(
                    f"the keys {paths[path]!r} and {secret.key!r} of secret group {secret.group!r} would be one file: "
                    "names of files are in lower case"
                )
    for group, paths in items.items():
        for path in paths:
            if any(other.startswith(f"{path}/") for other in paths):
                raise _refusal(f"secret group {group!r}: {path!r} is asked for as a key and as a version")
    volumes: list[Object] = []
    mounts: list[Object] = []
    for group, paths in items.items():
        name = _volume_name(group, versions[group])
        keys = [{"key": key, "path": path} for path, key in paths.items()]
        volumes.append({"name": name, "secret": {"secretName": group, "items": keys, "optional": True}})
        mounts.append({"name": name, "mountPath": f"{_FOLDER}/{group}", "readOnly": True})
    return volumes, mounts


def _variables(secrets: Iterable[Secret]) -> Iterator[Object]:
    for secret in secrets:
        if _is_file(secret):
            yield {"name": "FLYTE_SECRETS_DEFAULT_DIR", "value": _FOLDER}
            yield {"name": "FLYTE_SECRETS_FILE_PREFIX", "value": ""}
            if secret.env_var:
                yield {"name": secret.env_var, "value": f"{_FOLDER}/{secret.group}/{secret.key.lower()}"}
            continue
        reference = {"secretKeyRef": {"name": secret.group, "key": secret.key, "optional": True}}
        versions = ("", f"{secret.group_version}_") if secret.group_version else ("",)
        for version in versions:
            name = f"{_VARIABLE_PREFIX}{secret.group}_{version}{secret.key}".upper()
            yield {"name": name, "valueFrom": reference}
        if secret.env_var:
            yield {"name": secret.env_var, "valueFrom": reference}
        yield {"name": "FLYTE_SECRETS_ENV_PREFIX", "value": _VARIABLE_PREFIX}


def _append(holder: Object, name: str, entries: Iterable[Object], *, by: str) -> None:
    """Add to a list those entries whose name is not taken in it."""
    present: list[Object] = holder.get(name) or []
    taken = {entry.get(by) for entry in present}
    added: list[Object] = []
    for entry in entries:
        if entry[by] not in taken:
            taken.add(entry[by])
            added.append(copy.deepcopy(entry))
    if added:
        holder[name] = [*present, *added]


def _is_file(secret: Secret) -> bool:
    # "Any" is a file, as in Flyte.
    return secret.mount_requirement in (Secret.FILE, Secret.ANY)


def _paths(secret: Secret) -> tuple[str, ...]:
    """Where flytekit looks, asked without the version and with it."""
    key, version = secret.key.lower(), secret.group_version.lower()
    return (key, f"{version}/{key}") if version else (key,)


def _volume_name(group: str, version: str) -> str:
    name = base32(f"{group}_{version}".encode())
    if len(name) <= _LONGEST_VOLUME_NAME:
        return name
    # A group's name may be longer than a volume's; Flyte's pods are refused then.
    return base32(hashlib.sha256(group.encode()).digest())


def _check(secret: Secret) -> None:
    if secret.mount_requirement not in Secret.MountType.values():
        raise _refusal(f"{_described(secret)}: unknown mount requirement {secret.mount_requirement}")
    if not secret.group or not secret.key:
        missing = "group" if not secret.group else "key"
        raise _refusal(
            f"{_described(secret)} names no {missing}: the group is the name of a Kubernetes Secret and the key one of "
            "its data keys; a task needs both"
        )
    if len(secret.group) > 253 or not _GROUP.fullmatch(secret.group):
        raise _refusal(f"{_described(secret)}: no Kubernetes Secret can have the name {secret.group!r}")
    if not _KEY.fullmatch(secret.key):
        raise _refusal(f"{_described(secret)}: no Kubernetes Secret can have the data key {secret.key!r}")
    if secret.group_version and not _KEY.fullmatch(secret.group_version):
        raise _refusal(f"{_described(secret)}: the version cannot be part of a file's name")


def _text(secret: Secret) -> str:
    return text_format.MessageToString(secret, as_utf8=True)


def _refusal(message: str) -> NotLaunchable:
    return NotLaunchable("FailedToBuildResource", message)


def _described(secret: Secret) -> str:
    version = f" version {secret.group_version!r}" if secret.group_version else ""
    key = f"key {secret.key!r} of " if secret.key else ""
    return f"secret {key}group {secret.group!r}{version}"
