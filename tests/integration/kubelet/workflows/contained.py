"""Tasks for a real kubelet: what only a container shows."""

import os
import time
import typing

import pandas as pd
from flytekit import ContainerTask, Resources, Secret, current_context, kwtypes, map_task, task, workflow

IMAGE = "localhost/flightlog:test"
SMALL = Resources(cpu="100m", mem="500Mi")


@task(limits=SMALL)
def table(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(rows)})


@task(limits=SMALL)
def total(frame: pd.DataFrame) -> int:
    return int(frame["n"].sum())


@task(limits=SMALL)
def where() -> typing.List[str]:
    """The container's host name, and who it is."""
    return [os.uname().nodename, str(os.getpid()), os.environ["FLYTE_INTERNAL_EXECUTION_ID"]]


@workflow
def summing(rows: int) -> typing.Tuple[int, typing.List[str]]:
    return total(frame=table(rows=rows)), where()


@task(limits=Resources(cpu="100m", mem="160Mi"), retries=1)
def greedy() -> int:
    return len(bytearray(1 << 30))


@workflow
def starving() -> int:
    return greedy()


@task(
    limits=SMALL,
    secret_requests=[
        Secret(group="vault", key="Token"),
        Secret(group="vault", key="password", mount_requirement=Secret.MountType.ENV_VAR, env_var="PASSWORD"),
    ],
)
def secretive() -> typing.List[str]:
    secrets = current_context().secrets
    return [secrets.get("vault", "Token"), secrets.get("vault", "password"), os.environ["PASSWORD"]]


@workflow
def knowing() -> typing.List[str]:
    return secretive()


@task(
    limits=SMALL,
    secret_requests=[
        Secret(group="nowhere", key="Token"),
        Secret(group="nowhere", key="password", mount_requirement=Secret.MountType.ENV_VAR, env_var="PASSWORD"),
    ],
)
def unknowing() -> typing.List[bool]:
    """Whether it has what it asked for."""
    return [os.path.exists("/etc/flyte/secrets/nowhere/token"), "PASSWORD" in os.environ]


@workflow
def wondering() -> typing.List[bool]:
    return unknowing()


greet = ContainerTask(
    name="greet",
    image=IMAGE,
    input_data_dir="/var/inputs",
    output_data_dir="/var/outputs",
    inputs=kwtypes(name=str, times=int),
    outputs=kwtypes(greeting=str, length=int),
    command=[
        "sh",
        "-c",
        "for i in $(seq $(cat /var/inputs/times)); do printf 'hello %s ' \"$(cat /var/inputs/name)\"; done "
        "> /var/outputs/greeting; wc -c < /var/outputs/greeting > /var/outputs/length",
    ],
    resources=SMALL,
)


@workflow
def greeting(name: str, times: int) -> typing.Tuple[str, int]:
    return greet(name=name, times=times)


@task(limits=SMALL)
def lasting(seconds: int) -> int:
    for _ in range(seconds):
        time.sleep(1)
    return int(os.environ["FLYTE_ATTEMPT_NUMBER"])


@workflow
def long(seconds: int) -> int:
    return lasting(seconds=seconds)


@task(limits=Resources(cpu="50m", mem="300Mi"))
def doubled(n: int) -> int:
    return n * 2


@workflow
def doubling(numbers: typing.List[int]) -> typing.List[int]:
    return map_task(doubled)(n=numbers)


@task(container_image="localhost/no-such-image:1", limits=SMALL)
def nowhere() -> int:
    return 1


@workflow
def lost() -> int:
    return nowhere()
