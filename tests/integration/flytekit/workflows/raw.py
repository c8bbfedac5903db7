"""Raw containers: programs that know nothing of Flyte, between tasks that do."""

import typing
from collections import OrderedDict
from datetime import datetime, timedelta, timezone
from pathlib import Path

from flytekit import ContainerTask, Secret, current_context, kwtypes, task, workflow
from flytekit.core.pod_template import PodTemplate
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from kubernetes.client import V1Container, V1EnvVar, V1PodSpec

IMAGE = "localhost/tool:1"
SUMMARIZE = """
set -e
cd /
test "$(cat /var/inputs/title)" = "$1"
cat /var/inputs/folder/part-* > /var/outputs/joined.txt
wc -l < /var/inputs/data > /var/outputs/lines
echo " $(cat /var/inputs/rate) " > /var/outputs/rate
echo true > /var/outputs/done
echo 2025-01-31T12:00:00Z > /var/outputs/moment
echo 1m30s > /var/outputs/took
mkdir -p /var/outputs/parts/deep
cp /var/inputs/data /var/outputs/parts/deep/copy
printf '%s' "$WHERE" > /var/outputs/where
"""

summarize = ContainerTask(
    name="raw.summarize",
    image=IMAGE,
    inputs=kwtypes(data=FlyteFile, folder=FlyteDirectory, title=str, rate=float),
    outputs=kwtypes(
        joined=FlyteFile,
        lines=int,
        rate=float,
        done=bool,
        moment=datetime,
        took=timedelta,
        parts=FlyteDirectory,
        where=str,
    ),
    input_data_dir="/var/inputs",
    output_data_dir="/var/outputs",
    environment={"WHERE": "/var/inputs/x:/var/inputs2"},
    command=["sh", "-c", SUMMARIZE, "summarize", "{{.inputs.title}}"],
)


@task
def prepare(lines: int) -> typing.Tuple[FlyteFile, FlyteDirectory]:
    folder = Path(current_context().working_directory) / "folder"
    folder.mkdir()
    for number in range(3):
        (folder / f"part-{number}").write_text(f"{number}\n")
    data = Path(current_context().working_directory) / "data.csv"
    data.write_text("x\n" * lines)
    return FlyteFile(str(data)), FlyteDirectory(str(folder))


@task
def check(
    joined: FlyteFile,
    lines: int,
    rate: float,
    done: bool,
    moment: datetime,
    took: timedelta,
    parts: FlyteDirectory,
    where: str,
) -> str:
    assert Path(joined.download()).read_text() == "0\n1\n2\n"
    assert Path(joined.path).name == "joined.txt"
    assert (rate, done, took) == (0.5, True, timedelta(seconds=90))
    assert moment == datetime(2025, 1, 31, 12, tzinfo=timezone.utc)
    assert (Path(parts.download()) / "deep" / "copy").read_text() == "x\n" * lines
    assert where.startswith("/") and where.endswith("/inputs/x:/var/inputs2")
    return f"{lines} lines"


@workflow
def between(lines: int = 3, title: str = "in /var/inputs it stays") -> str:
    data, folder = prepare(lines=lines)
    joined, counted, rate, done, moment, took, parts, where = summarize(
        data=data, folder=folder, title=title, rate=0.5
    )
    return check(
        joined=joined, lines=counted, rate=rate, done=done, moment=moment, took=took, parts=parts, where=where
    )


READ = """
import sys, yaml
inputs = yaml.safe_load(open(sys.argv[1] + '/inputs.yaml'))
assert inputs['many'] == [1, 2], inputs
assert open(sys.argv[1] + '/many/1').read() == '2'
open(sys.argv[2] + '/total', 'w').write(str(sum(inputs['many'])))
"""

described = ContainerTask(
    name="raw.described",
    image=IMAGE,
    inputs=kwtypes(many=typing.List[int]),
    outputs=kwtypes(total=int),
    metadata_format=ContainerTask.MetadataFormat.YAML,
    input_data_dir="/data/in",
    output_data_dir="/data/out",
    command=["python3", "-c", READ],
    arguments=["/data/in", "/data/out"],
    pod_template=PodTemplate(
        primary_container_name="main",
        pod_spec=V1PodSpec(containers=[V1Container(name="main", env=[V1EnvVar(name="A", value="b")])]),
    ),
)


@workflow
def of_pod(many: typing.List[int] = [1, 2]) -> int:
    return described(many=many)


def _writing(name: str, script: str, **outputs: type) -> ContainerTask:
    return ContainerTask(
        name=f"raw.{name}",
        image=IMAGE,
        outputs=OrderedDict(outputs),
        output_data_dir="/var/outputs",
        command=["sh", "-c", script],
    )


says_error = _writing("says_error", "echo 'the data is bad' > /var/outputs/_ERROR", x=int)
forgets = _writing("forgets", "true", x=int)
unknown = ContainerTask(
    name="raw.unknown", image=IMAGE, outputs=kwtypes(many=typing.List[int]), command=["sh", "-c", "true"]
)
hidden = ContainerTask(
    name="raw.hidden",
    image=IMAGE,
    outputs=kwtypes(names=str, token=str),
    output_data_dir="/var/outputs",
    secret_requests=[Secret(group="raw", key="token", mount_requirement=Secret.MountType.ENV_VAR)],
    command=["sh", "-c", "env | grep ^FLIGHTLOG_ > /var/outputs/names; echo $_FSEC_RAW_TOKEN > /var/outputs/token"],
)


@workflow
def own_variables() -> typing.Tuple[str, str]:
    return hidden()


@workflow
def with_says_error() -> int:
    return says_error()


@workflow
def with_forgets() -> int:
    return forgets()


@workflow
def with_unknown() -> typing.List[int]:
    return unknown()
