"""The containers of a raw container's pod, run as processes in the order in which Kubernetes would run them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio
from flyteidl.core import literals_pb2

from flightlog_blobs import BlobSettings, BlobStore
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from tests.unit.kubernetes.pods.tasks import task
from tests.unit.kubernetes.test_raw_containers import raw


@pytest_asyncio.fixture(loop_scope="session")
async def blobs(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings.model_copy(update={"driver": "s3"}))
    yield store
    await store.close()


def environment(container: Object, secrets: dict[str, dict[str, str]]) -> dict[str, str]:
    """Variables of a container, with those of Secrets as the kubelet fills them in."""

    def value(entry: dict[str, Any]) -> str:
        if "value" in entry:
            return entry["value"]
        reference = entry["valueFrom"]["secretKeyRef"]
        return secrets[reference["name"]][reference["key"]]

    given = {entry["name"]: value(entry) for entry in container.get("env", [])}
    # What the image has: a Python that finds the services.
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **given}


async def started(container: Object, secrets: dict[str, dict[str, str]]) -> asyncio.subprocess.Process:
    words = [*container.get("command", []), *container.get("args", [])]
    return await asyncio.create_subprocess_exec(*words, env=environment(container, secrets), cwd="/")


async def succeeded(command: list[str]) -> bool:
    return await (await asyncio.create_subprocess_exec(*command)).wait() == 0


async def test_inputs_arrive_and_outputs_are_collected(
    blobs: BlobStore, blob_settings: BlobSettings, tmp_path: Path
) -> None:
    prefix = f"s3://{blob_settings.bucket}/tests/{uuid4().hex}"
    inputs = literals_pb2.LiteralMap()
    inputs.literals["rate"].scalar.primitive.float_value = 0.5
    inputs.literals["data"].scalar.blob.uri = f"{prefix}/data"
    await blobs.put(f"{prefix}/data", b"1\n2\n3\n")
    settings = KubernetesSettings.model_validate(
        {"raw_containers": {"command": [sys.executable, "-P", "-m", "services.k8s_launcher.copying"]}}
    )
    store = settings.raw_containers.with_store(blob_settings)
    secrets = {
        "flightlog-tasks-object-store": {
            "FLYTE_AWS_ACCESS_KEY_ID": blob_settings.access_key,
            "FLYTE_AWS_SECRET_ACCESS_KEY": blob_settings.secret_key.get_secret_value(),
        }
    }
    folders = {"input_data_dir": str(tmp_path / "in"), "output_data_dir": str(tmp_path / "out")}
    script = f"cd {tmp_path}; cp in/data out/model.txt; echo $1 > out/loss"
    template = raw(**folders, command=["sh", "-c", script, "tool", "{{.inputs.rate}}"])
    made = task(
        template,
        inputs=inputs.literals,
        settings_of=settings.model_copy(update={"raw_containers": store}),
        raw=f"{prefix}/raw",
        output_prefix=f"{prefix}/out",
    )
    values = replace(made.values, input_uri=f"{prefix}/inputs.pb")
    await blobs.put(values.input_uri, inputs.SerializeToString())
    made = replace(made, values=values)
    spec = build_pod(made).manifest["spec"]
    uploader, downloader = spec["initContainers"]
    (main,) = spec["containers"]
    *probe, ready = uploader["startupProbe"]["exec"]["command"]
    own_ready = f"{tmp_path}{ready}"
    # The kubelet has made the volumes, and each container has a /dev/shm of its own.
    for folder in (tmp_path / "in", tmp_path / "out", Path(own_ready).parent):
        await asyncio.to_thread(folder.mkdir, parents=True)
    uploader["args"] = [own_ready if word == ready else word for word in uploader["args"]]

    collecting = await started(uploader, secrets)
    while not await succeeded([*probe, own_ready]):
        assert collecting.returncode is None
        await asyncio.sleep(0.02)
    for container in (downloader, main):
        assert await (await started(container, secrets)).wait() == 0
    collecting.send_signal(signal.SIGTERM)
    assert await collecting.wait() == 0
    outputs = literals_pb2.LiteralMap.FromString(await blobs.get(f"{prefix}/out/outputs.pb"))
    assert outputs.literals["loss"].scalar.primitive.float_value == 0.5
    model = outputs.literals["model"].scalar.blob.uri
    assert model == f"{made.values.raw_output_prefix}/model.txt"
    assert await blobs.get(model) == b"1\n2\n3\n"
