"""MPI and Horovod: `mpi` tasks as MPIJob (k8s-contract §5.5)."""

from __future__ import annotations

from typing import Final

from flyteidl.plugins import mpi_pb2
from flyteidl.plugins.kubeflow import mpi_pb2 as kubeflow_mpi_pb2

from services.k8s_launcher.kubernetes.objects import Built, Kind, Object, Reading, Seen, Task
from services.k8s_launcher.kubernetes.plugins import kubeflow
from services.k8s_launcher.kubernetes.plugins.custom import custom_of, refused, version_of
from services.k8s_launcher.kubernetes.plugins.kubeflow import Framework, Group, group_of, replica_spec

FRAMEWORK: Final = Framework("mpi", Kind(kubeflow.API_VERSION, "MPIJob", "mpijobs"), "mpi", "mpiReplicaSpecs")

_WORKER_COMMAND: Final = "worker_spec_command"


class Mpi:
    """Runs `mpi` tasks: a launcher that starts the processes, and workers that they run on."""

    identifier = FRAMEWORK.identifier
    kind = FRAMEWORK.kind
    longest_name = 50

    def build(self, task: Task) -> Built:
        """An MPIJob. Raises `NotLaunchable`."""
        run_policy: Object = {}
        if version_of(task.template, 0, 1) == 0:
            first = custom_of(task.template, mpi_pb2.DistributedMPITrainingTask())
            launcher = Group(max(first.num_launcher_replicas, 1))
            # Without a command of their own workers must not run the task; the operator gives them sshd then.
            command = task.template.config.get(_WORKER_COMMAND, "").split()
            workers, slots = Group(first.num_workers, args=tuple(command)), first.slots
        else:
            asked = custom_of(task.template, kubeflow_mpi_pb2.DistributedMPITrainingTask())
            launcher, workers = _group(asked.launcher_replicas), _group(asked.worker_replicas)
            slots = asked.slots
            if asked.HasField("run_policy"):
                run_policy = kubeflow.run_policy_of(asked.run_policy)
        if workers.replicas < 1:
            raise refused("number of workers must be greater than 0")
        replicas = {
            # The second version knows one launcher, whatever is asked for.
            "Launcher": replica_spec(FRAMEWORK, task, launcher) | {"replicas": max(launcher.replicas, 1)},
            "Worker": replica_spec(FRAMEWORK, task, workers),
        }
        spec: Object = {"slotsPerWorker": max(slots, 1), "runPolicy": run_policy}
        return kubeflow.job(FRAMEWORK, task, replicas, spec)

    def read(self, seen: Seen) -> Reading:
        """What its conditions mean."""
        return kubeflow.read(FRAMEWORK, seen)


def _group(request: kubeflow_mpi_pb2.DistributedMPITrainingReplicaSpec) -> Group:
    group = group_of(request)
    if not request.command:
        return group
    return Group(group.replicas, group.image, group.resources, group.restart_policy, tuple(request.command))
