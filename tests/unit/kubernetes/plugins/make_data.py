"""Serialises tasks of flytekit's plugins into `data/`, as the tests read them.

Not run by the tests: the plugins are no dependencies of this project. To make them anew, in a scratch environment:

    pip install flytekit
    pip install --no-deps flytekitplugins-{ray,kfpytorch,spark,dask,kftensorflow,kfmpi}
    pip install ray dask distributed kubernetes pyspark-client
    python tests/unit/kubernetes/plugins/make_data.py
"""

import json
import sys
from pathlib import Path
from types import ModuleType

from flytekit import PodTemplate, Resources, Secret, task
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.extras import accelerators
from flytekitplugins.dask import Dask, Scheduler, WorkerGroup
from flytekitplugins.kfmpi import HorovodJob, Launcher, MPIJob
from flytekitplugins.kfmpi import Worker as MPIWorker
from flytekitplugins.kfpytorch import CleanPodPolicy, Elastic, Master, PyTorch, RestartPolicy, RunPolicy, Worker
from flytekitplugins.kftensorflow import PS, Chief, Evaluator, TfJob
from flytekitplugins.kftensorflow import Worker as TfWorker
from flytekitplugins.ray import HeadNodeConfig, RayJobConfig, WorkerNodeConfig
from flytekitplugins.spark import Spark
from google.protobuf.json_format import MessageToDict
from kubernetes.client import V1Container, V1PodSpec, V1Toleration

SETTINGS = SerializationSettings(
    project="p", domain="d", version="v1", image_config=ImageConfig(Image("default", "example.com/trainer", "1.0"))
)
TWO = Resources(cpu="2", mem="4Gi")
ONE_GPU = Resources(cpu="4", mem="8Gi", gpu="1")


@task(
    task_config=RayJobConfig(
        head_node_config=HeadNodeConfig(ray_start_params={"num-cpus": "0"}, requests=TWO, limits=TWO),
        worker_node_config=[
            WorkerNodeConfig(group_name="gpus", replicas=2, min_replicas=1, max_replicas=4, requests=ONE_GPU)
        ],
        runtime_env={"pip": ["numpy"]},
        enable_autoscaling=True,
        shutdown_after_job_finishes=True,
        ttl_seconds_after_finished=60,
    ),
    requests=Resources(cpu="1", mem="2Gi"),
    secret_requests=[Secret(group="tokens", key="Hub", mount_requirement=Secret.MountType.ENV_VAR)],
    retries=2,
)
def ray_groups(n: int) -> int:
    return n


@task(task_config=RayJobConfig(worker_node_config=[WorkerNodeConfig(group_name="w", replicas=2)]), requests=ONE_GPU)
def ray_plain(text: str) -> str:
    return text


@task(task_config=PyTorch(worker=Worker(replicas=2)), requests=ONE_GPU, limits=ONE_GPU, accelerator=accelerators.T4)
def pytorch_plain() -> None: ...


@task(
    task_config=PyTorch(
        master=Master(image="example.com/master:2", requests=TWO, limits=TWO),
        worker=Worker(replicas=3, requests=ONE_GPU, limits=ONE_GPU, restart_policy=RestartPolicy.FAILURE),
        run_policy=RunPolicy(
            clean_pod_policy=CleanPodPolicy.ALL,
            ttl_seconds_after_finished=9,
            active_deadline_seconds=8,
            backoff_limit=7,
        ),
    )
)
def pytorch_groups() -> None: ...


# It has torch read "2:4", and needs nothing else of it to be serialised.
TORCH = {name: ModuleType(name) for name in ("torch", "torch.distributed", "torch.distributed.run")}
TORCH["torch.distributed.run"].parse_min_max_nnodes = lambda text: tuple(int(part) for part in text.split(":"))
TORCH["torch.distributed"].run = TORCH["torch.distributed.run"]
sys.modules |= TORCH


@task(task_config=Elastic(nnodes="2:4", nproc_per_node=8, max_restarts=3), requests=ONE_GPU, limits=ONE_GPU)
def pytorch_elastic() -> None: ...


for name in TORCH:
    del sys.modules[name]


@task(
    task_config=TfJob(
        chief=Chief(replicas=1),
        ps=PS(replicas=2, requests=TWO, limits=TWO),
        worker=TfWorker(replicas=3, image="example.com/worker:2"),
        evaluator=Evaluator(replicas=1),
    )
)
def tensorflow_groups() -> None: ...


@task(
    task_config=MPIJob(
        launcher=Launcher(replicas=1, requests=TWO, limits=TWO),
        worker=MPIWorker(replicas=2, command=["/usr/sbin/sshd", "-De"], requests=ONE_GPU, limits=ONE_GPU),
        slots=4,
    )
)
def mpi_groups() -> None: ...


@task(task_config=HorovodJob(launcher=Launcher(replicas=1), worker=MPIWorker(replicas=1), slots=2))
def mpi_horovod() -> None: ...


@task(
    task_config=Dask(
        scheduler=Scheduler(image="example.com/scheduler:2", requests=Resources(cpu="1")),
        workers=WorkerGroup(number_of_workers=2, limits=Resources(cpu="1500m", mem="3Gi")),
    ),
    requests=ONE_GPU,
    limits=ONE_GPU,
    interruptible=True,
)
def dask_groups() -> None: ...


@task(task_config=Dask())
def dask_plain() -> None: ...


@task(
    task_config=Spark(
        spark_conf={
            "spark.driver.memory": "1000M",
            "spark.driver.cores": "1",
            "spark.executor.memory": "2000M",
            "spark.executor.cores": "2",
            "spark.executor.instances": "3",
        },
        hadoop_conf={"fs.s3a.path.style.access": "true"},
        executor_path="/usr/bin/python3",
        applications_path="local:///app/main.py",
        executor_pod=PodTemplate(
            labels={"team": "spark"},
            primary_container_name="primary",
            pod_spec=V1PodSpec(
                containers=[V1Container(name="primary", image="example.com/executor:2")],
                tolerations=[V1Toleration(key="spark", operator="Exists")],
            ),
        ),
    ),
    secret_requests=[
        Secret(group="tokens", key="Hub", mount_requirement=Secret.MountType.FILE),
        Secret(group="tokens", key="Store", mount_requirement=Secret.MountType.ENV_VAR),
    ],
    retries=2,
)
def spark_groups() -> None: ...


TASKS = (
    ray_groups,
    ray_plain,
    pytorch_plain,
    pytorch_groups,
    pytorch_elastic,
    tensorflow_groups,
    mpi_groups,
    mpi_horovod,
    dask_groups,
    dask_plain,
    spark_groups,
)

if __name__ == "__main__":
    from flytekit.tools.translator import get_serializable

    folder = Path(__file__).with_name("data")
    for each in TASKS:
        template = get_serializable({}, SETTINGS, each).template.to_flyte_idl()
        name = each.name.rpartition(".")[2]
        template.id.name = f"training.{name}"
        text = json.dumps(MessageToDict(template), indent=2, sort_keys=True)
        (folder / f"{name}.json").write_text(text.replace("__main__", "training") + "\n")
