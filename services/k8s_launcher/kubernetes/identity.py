"""Which attempt an object belongs to: what is written on it, so that any launcher recognises its own.

Names follow from the attempt alone, but short names can be anybody's: an object that is there already is taken for an
attempt's only when its annotations say so.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from services.k8s_launcher.kubernetes.objects import Built, Kind, Object
from services.k8s_launcher.kubernetes.queueing.volcano import POD_GROUP
from services.k8s_launcher.runtime import AttemptKey, Execution, execution_of

INSTANCE: Final = "flightlog.dev/instance"
"""Label of everything that a launcher makes: which Flightlog's it is."""
_PROJECT: Final = "flightlog.dev/project"
_DOMAIN: Final = "flightlog.dev/domain"
_EXECUTION: Final = "flightlog.dev/execution"
_NODE: Final = "flightlog.dev/node"
_ATTEMPT: Final = "flightlog.dev/attempt"
_BEFORE: Final = "flightlog.dev/made-before"
_MADE_BEFORE: Final = (POD_GROUP,)


def execution_annotations(execution: Execution) -> dict[str, str]:
    """What says which execution an object belongs to."""
    return dict(zip((_PROJECT, _DOMAIN, _EXECUTION), execution, strict=True))


def stamped(built: Built, key: AttemptKey, *, instance: str, namespace: str, name: str, owner: Object) -> Built:
    """The same objects, with what says whose they are."""
    before = [(kind, _marked(manifest, key, instance, namespace, owner)) for kind, manifest in built.before]
    manifest = _marked(built.manifest, key, instance, namespace, owner)
    manifest["metadata"]["name"] = name
    if before:
        paths = [kind.path(namespace, one["metadata"]["name"]) for kind, one in before]
        manifest["metadata"]["annotations"][_BEFORE] = json.dumps(paths)
    return Built(built.kind, manifest, before)


def _marked(manifest: Object, key: AttemptKey, instance: str, namespace: str, owner: Object) -> Object:
    metadata = cast("dict[str, Any]", manifest.get("metadata") or {})
    annotations = {
        **(metadata.get("annotations") or {}),
        **execution_annotations(execution_of(key)),
        _NODE: key.node_id,
        _ATTEMPT: str(key.attempt),
    }
    labels = {**(metadata.get("labels") or {}), INSTANCE: instance}
    owners = [*(metadata.get("ownerReferences") or []), owner]
    marks = {"namespace": namespace, "labels": labels, "annotations": annotations, "ownerReferences": owners}
    return {**manifest, "metadata": {**metadata, **marks}}


def execution_in(seen: Object) -> Execution | None:
    """The execution that an object was made for; None: nothing says so."""
    annotations = cast("dict[str, str]", seen["metadata"].get("annotations") or {})
    found = annotations.get(_PROJECT, ""), annotations.get(_DOMAIN, ""), annotations.get(_EXECUTION, "")
    return found if all(found) else None


def instance_of(seen: Object) -> str:
    """Which Flightlog made an object: only its own watches tell of it. Empty: none."""
    return cast("dict[str, str]", seen["metadata"].get("labels") or {}).get(INSTANCE, "")


def key_in(seen: Object) -> AttemptKey | None:
    """The attempt that an object was made for; None: nothing says so."""
    execution = execution_in(seen)
    annotations = cast("dict[str, str]", seen["metadata"].get("annotations") or {})
    node, attempt = annotations.get(_NODE, ""), annotations.get(_ATTEMPT, "")
    if execution is None or not node or not attempt.isdecimal():
        return None
    return AttemptKey(*execution, node, int(attempt))


def made_before(seen: Object) -> list[tuple[Kind, str]]:
    """What was made for an object before it: kinds and names, in its namespace. It is to go with it.

    Who may write on objects in a namespace may not therefore have whatever removed: only what launchers make so.
    """
    metadata = seen["metadata"]
    text = cast("dict[str, str]", metadata.get("annotations") or {}).get(_BEFORE, "[]")
    try:
        paths = json.loads(text)
    except ValueError:
        return []
    names = [(str(path), str(path).rpartition("/")[2]) for path in (paths if isinstance(paths, list) else ())]
    return [
        (kind, name)
        for path, name in names
        for kind in _MADE_BEFORE
        if name and path == kind.path(metadata["namespace"], name)
    ]
