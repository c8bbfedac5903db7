"""What is kept of objects that are followed."""

from __future__ import annotations

import copy
import json

from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.slimming import slim

CONTAINER: Object = {
    "name": "main",
    "image": "i:1",
    "args": ["pyflyte-execute"],
    "command": ["sh"],
    "env": [{"name": "A", "value": "1"}],
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "resources": {"limits": {"cpu": "1"}},
}
SPEC: Object = {
    "containers": [CONTAINER],
    "initContainers": [{**CONTAINER, "name": "first"}],
    "volumes": [{"name": "v"}],
    "tolerations": [{"key": "k"}],
    "affinity": {"nodeAffinity": {}},
    "nodeName": "n",
    "restartPolicy": "Never",
}
SLIM_CONTAINER: Object = {"name": "main", "image": "i:1", "resources": {"limits": {"cpu": "1"}}}
SLIM_SPEC: Object = {
    "containers": [SLIM_CONTAINER],
    "initContainers": [{**SLIM_CONTAINER, "name": "first"}],
    "nodeName": "n",
    "restartPolicy": "Never",
}
METADATA: Object = {"name": "p", "uid": "u", "labels": {"env": "1", "volumes": "2"}, "annotations": {"args": "3"}}


def test_a_pod_keeps_its_status_and_names() -> None:
    status = {"phase": "Running", "containerStatuses": [{"name": "main", "env": "kept"}], "volumes": "kept"}
    pod = {
        "kind": "Pod",
        "metadata": {**METADATA, "managedFields": [{"manager": "m"}]},
        "spec": SPEC,
        "status": status,
    }
    before = copy.deepcopy(pod)
    assert slim(pod) == {"kind": "Pod", "metadata": METADATA, "spec": SLIM_SPEC, "status": status}
    assert pod == before


def test_pods_inside_other_objects() -> None:
    job = {
        "kind": "PyTorchJob",
        "metadata": METADATA,
        "spec": {
            "runPolicy": {"suspend": True},
            "pytorchReplicaSpecs": {"Worker": {"replicas": 3, "template": {"metadata": METADATA, "spec": SPEC}}},
        },
        "status": {"conditions": [{"type": "Running"}]},
    }
    workers = {"Worker": {"replicas": 3, "template": {"metadata": METADATA, "spec": SLIM_SPEC}}}
    assert slim(job) == {**job, "spec": {"runPolicy": {"suspend": True}, "pytorchReplicaSpecs": workers}}


def test_other_objects_stay_as_they_are() -> None:
    config = {"kind": "ConfigMap", "metadata": METADATA, "data": {"env": "1", "volumes": "2"}}
    assert slim(config) == config


def test_field_names_are_shared_between_objects() -> None:
    text = json.dumps({"metadata": METADATA, "status": {"conditions": [{"lastTransitionTime": "now"}]}})
    one, other = (slim(json.loads(text)) for _ in range(2))
    names = [next(iter(each["status"]["conditions"][0])) for each in (one, other)]
    assert names[0] is names[1]
