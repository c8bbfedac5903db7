"""TensorFlow: `tensorflow` tasks as TFJob (k8s-contract §5.5)."""

from __future__ import annotations

from typing import Final

from flyteidl.plugins import tensorflow_pb2
from flyteidl.plugins.kubeflow import tensorflow_pb2 as kubeflow_tensorflow_pb2

from services.k8s_launcher.kubernetes.objects import Built, Kind, Object, Reading, Seen, Task
from services.k8s_launcher.kubernetes.plugins import kubeflow
from services.k8s_launcher.kubernetes.plugins.custom import custom_of, refused, version_of
from services.k8s_launcher.kubernetes.plugins.kubeflow import Framework, Group, group_of, replica_spec

FRAMEWORK: Final = Framework(
    "tensorflow", Kind(kubeflow.API_VERSION, "TFJob", "tfjobs"), "tensorflow", "tfReplicaSpecs"
)


class TensorFlow:
    """Runs `tensorflow` tasks: workers, and parameter servers, a chief and an evaluator as asked for."""

    identifier = FRAMEWORK.identifier
    kind = FRAMEWORK.kind
    longest_name = 50

    def build(self, task: Task) -> Built:
        """A TFJob. Raises `NotLaunchable`."""
        run_policy: Object = {}
        if version_of(task.template, 0, 1) == 0:
            first = custom_of(task.template, tensorflow_pb2.DistributedTensorflowTrainingTask())
            groups = {
                "Chief": Group(first.chief_replicas),
                "Worker": Group(first.workers),
                "PS": Group(first.ps_replicas),
                "Evaluator": Group(first.evaluator_replicas),
            }
        else:
            asked = custom_of(task.template, kubeflow_tensorflow_pb2.DistributedTensorflowTrainingTask())
            groups = {
                "Chief": group_of(asked.chief_replicas),
                "Worker": group_of(asked.worker_replicas),
                "PS": group_of(asked.ps_replicas),
                "Evaluator": group_of(asked.evaluator_replicas),
            }
            if asked.HasField("run_policy"):
                run_policy = kubeflow.run_policy_of(asked.run_policy)
        if groups["Worker"].replicas < 1:
            raise refused("number of workers must be greater than 0")
        replicas = {role: replica_spec(FRAMEWORK, task, group) for role, group in groups.items() if group.replicas > 0}
        return kubeflow.job(FRAMEWORK, task, replicas, {"runPolicy": run_policy})

    def read(self, seen: Seen) -> Reading:
        """What its conditions mean."""
        return kubeflow.read(FRAMEWORK, seen)
