"""Secrets that tasks ask for: where the operator keeps them, and how they reach a task's process.

A task template names its secrets (`Secret(group=…, key=…)`), and it gets those and no others. They come from a folder,
`<directory>/<group>/<key>` as a mounted Kubernetes secret has it, or from variables of the launcher's own environment.
In the task they are where flytekit's `current_context().secrets` looks (engine-semantics §3.7): variables for
`ENV_VAR`, files for `FILE` and `ANY`, in a folder of the attempt that is removed at its end. Values are handed to the
process and written nowhere else: not into records, facts, logs or error messages.

Tasks of the process runtime run as the launcher's user. What that user may read, a task may read; who must keep
secrets from tasks that did not ask for them gives the launcher none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flyteidl.core.security_pb2 import Secret

from services.k8s_launcher.settings import SecretSettings
from services.k8s_launcher.task_templates import NotLaunchable

_TASK_PREFIX = "_FSEC_"
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True)
class Granted:
    """The secrets of one attempt, for its process alone."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    # By path below the attempt's folder of secrets.
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)

    def write(self, folder: Path) -> None:
        """Put the files where the variables say they are."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Made aside: a task that an earlier launcher ordered may be reading what is there.
            partial = path.with_name(f"..{path.name}")
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            partial.rename(path)


class Secrets:
    """What the operator has given this launcher to hand on."""

    def __init__(self, settings: SecretSettings, environment: Mapping[str, str]) -> None:
        self._directory = settings.directory
        self._prefix = settings.env_prefix
        self._variables = {name: value for name, value in environment.items() if name.startswith(self._prefix)}

    def granted(self, requests: Iterable[Secret], folder: Path) -> Granted:
        """What a task that makes these requests gets, with its files below `folder`. Blocking.

        Raises:
            NotLaunchable: `SecretNotFound`, or `BadTaskSpecification` for what cannot be had in the form asked for.
        """
        variables: dict[str, str] = {}
        files: dict[str, bytes] = {}
        for request in requests:
            names = _names(request)
            found = self._found(request, names)
            if request.mount_requirement == Secret.ENV_VAR:
                value = _text(request, found)
                variables[_TASK_PREFIX + "_".join(names).upper()] = value
                if request.env_var:
                    variables[request.env_var] = value
                continue
            path = "/".join(names).lower()
            files.update({f"{path}/{key.lower()}" if key else path: content for key, content in found.items()})
            if request.env_var:
                variables[request.env_var] = str(folder / path)
        for name in files:
            if any(other.startswith(f"{name}/") for other in files):
                raise NotLaunchable(
                    "BadTaskSpecification", f"secret group {name!r} is asked for as one file and as a folder of keys"
                )
        if variables or files:
            variables["FLYTE_SECRETS_ENV_PREFIX"] = _TASK_PREFIX
            variables["FLYTE_SECRETS_DEFAULT_DIR"] = str(folder)
        return Granted(variables, files)

    def _found(self, request: Secret, names: tuple[str, ...]) -> dict[str, bytes]:
        """Contents by key; the key is empty unless a group as a whole was asked for."""
        try:
            in_folder = self._in_folder(names)
        except OSError as error:
            raise NotLaunchable(
                "SecretNotFound", f"{_described(request)} cannot be read: {error}", system=True, recoverable=True
            ) from error
        if in_folder:
            return in_folder
        name = self._prefix + _NOT_IN_NAMES.sub("_", "_".join(names).upper())
        if name in self._variables:
            return {"": os.fsencode(self._variables[name])}
        places = f"variable {name}"
        if self._directory is not None:
            places = f"file {self._directory.joinpath(*names)} or {places}"
        raise NotLaunchable("SecretNotFound", f"{_described(request)} is not known to the launcher: it has no {places}")

    def _in_folder(self, names: tuple[str, ...]) -> dict[str, bytes]:
        if self._directory is None:
            return {}
        # As written, else as flytekit spells names of files.
        for spelled in dict.fromkeys((names, tuple(name.lower() for name in names))):
            path = self._directory.joinpath(*spelled)
            if path.is_file():
                return {"": path.read_bytes()}
            if len(names) == 1 and path.is_dir():
                # Kubernetes keeps what belongs to a mounted secret itself under names with two dots.
                keys = (
                    entry for entry in sorted(path.iterdir()) if entry.is_file() and not entry.name.startswith("..")
                )
                return {entry.name: entry.read_bytes() for entry in keys}
        return {}


def _names(request: Secret) -> tuple[str, ...]:
    names = tuple(name for name in (request.group, request.group_version, request.key) if name)
    if not names or any(name in (".", "..") or "/" in name or "\0" in name for name in names):
        raise NotLaunchable("BadTaskSpecification", f"{_described(request)} cannot be a secret's name")
    return names


def _text(request: Secret, found: Mapping[str, bytes]) -> str:
    if "" not in found:
        raise NotLaunchable(
            "BadTaskSpecification", f"{_described(request)}: a variable holds one key, and none is named"
        )
    try:
        # A line's end comes from the editor; flytekit drops it too.
        value = found[""].decode().rstrip("\r\n")
    except UnicodeDecodeError:
        value = "\0"
    if "\0" in value:
        raise NotLaunchable("BadTaskSpecification", f"{_described(request)} is no text: ask for it as a file")
    return value


def _described(request: Secret) -> str:
    version = f" version {request.group_version!r}" if request.group_version else ""
    key = f"key {request.key!r} of " if request.key else ""
    return f"secret {key}group {request.group!r}{version}"
