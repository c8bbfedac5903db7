"""PyTorch: `pytorch` tasks as PyTorchJob (k8s-contract §5.5)."""

from __future__ import annotations

from typing import Final

from flyteidl.plugins import pytorch_pb2
from flyteidl.plugins.kubeflow import pytorch_pb2 as kubeflow_pytorch_pb2

from services.k8s_launcher.kubernetes.objects import Built, Kind, Object, Reading, Seen, Task
from services.k8s_launcher.kubernetes.plugins import kubeflow
from services.k8s_launcher.kubernetes.plugins.custom import custom_of, refused, version_of
from services.k8s_launcher.kubernetes.plugins.kubeflow import Framework, Group, group_of, replica_spec

FRAMEWORK: Final = Framework(
    "pytorch", Kind(kubeflow.API_VERSION, "PyTorchJob", "pytorchjobs"), "pytorch", "pytorchReplicaSpecs"
)

# What flytekit reads (its `entrypoint`): whose error it is, and that all workers write one.
_WORKER_NAME: Final = {"name": "_F_WN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
_ERROR_STRATEGY: Final = {"name": "_F_DES", "value": "Earliest"}


class PyTorch:
    """Runs `pytorch` tasks: a master and workers, or workers that find one another (elastic)."""

    identifier = FRAMEWORK.identifier
    kind = FRAMEWORK.kind
    longest_name = 50

    def build(self, task: Task) -> Built:
        """A PyTorchJob. Raises `NotLaunchable`."""
        run_policy: Object = {}
        if version_of(task.template, 0, 1) == 0:
            first = custom_of(task.template, pytorch_pb2.DistributedPyTorchTrainingTask())
            master, workers = Group(1), Group(first.workers)
            elastic = _elastic(first.elastic_config) if first.HasField("elastic_config") else None
        else:
            asked = custom_of(task.template, kubeflow_pytorch_pb2.DistributedPyTorchTrainingTask())
            master, workers = group_of(asked.master_replicas), group_of(asked.worker_replicas)
            elastic = _elastic(asked.elastic_config) if asked.HasField("elastic_config") else None
            if asked.HasField("run_policy"):
                run_policy = kubeflow.run_policy_of(asked.run_policy)
        replicas: Object = {}
        if elastic is None:
            replicas["Master"] = replica_spec(FRAMEWORK, task, master) | {"replicas": 1}
        elif workers.replicas < 1:
            raise refused("an elastic PyTorch job needs at least one worker")
        if workers.replicas > 0:
            replicas["Worker"] = replica_spec(FRAMEWORK, task, workers)
            if task.settings.operators.kubeflow.error_aggregation:
                for replica in replicas.values():
                    _aggregating(replica)
        spec: Object = {"runPolicy": run_policy}
        if elastic is not None:
            spec["elasticPolicy"] = elastic
        return kubeflow.job(FRAMEWORK, task, replicas, spec)

    def read(self, seen: Seen) -> Reading:
        """What its conditions mean."""
        return kubeflow.read(FRAMEWORK, seen)


def _elastic(config: pytorch_pb2.ElasticConfig | kubeflow_pytorch_pb2.ElasticConfig) -> Object:
    found: Object = {
        "minReplicas": config.min_replicas,
        "maxReplicas": config.max_replicas,
        "nProcPerNode": config.nproc_per_node,
        "maxRestarts": config.max_restarts,
    }
    if config.rdzv_backend:
        found["rdzvBackend"] = config.rdzv_backend
    return found


def _aggregating(replica: Object) -> None:
    container = next(each for each in replica["template"]["spec"]["containers"] if each["name"] == FRAMEWORK.container)
    container.setdefault("env", []).extend([dict(_WORKER_NAME), dict(_ERROR_STRATEGY)])
