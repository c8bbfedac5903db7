"""`python -m flightlog_bench.kubernetes`: 2,000 pods in flight on 50 nodes that kwok plays, and an API that dies.

A real control plane, an embedded stack whose launcher makes pods, 20 executions of 100 tasks each. Measured: how fast
pods are made, how long it takes from the fact that orders an attempt to the launcher's word that its pod exists, how
long from a pod's change to the launcher's observation on the log, and how often the API is called. Half-way the API
server is killed and started again. In the end every node has run once, and there are no more pods than attempts.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, interface_pb2, tasks_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from rich.console import Console

from flightlog_bench import report
from flightlog_bench.client import Client
from flightlog_bench.workflows import Registration, identifier
from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.stack_process import StackProcess
from flightlog_cluster.cluster import Cluster, run_cluster
from flightlog_log import Log, LogSettings, Recorded
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import POD, Kind
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

EXECUTIONS, WIDTH, NODES = 20, 100, 50
SECONDS_RUNNING = 60
_NODE = Kind("v1", "Node", "nodes", namespaced=False)
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-kubernetes.md"
_RUNNING = """
{{ $now := Now }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: x, ready: true, restartCount: 0, state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
podIP: 10.0.0.1
phase: Running
startTime: {{ $now | Quote }}
"""
_SUCCEEDED = """
{{ $now := Now }}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: x, ready: false, restartCount: 0,
   state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}}
{{ end }}
phase: Succeeded
"""


def _stage(name: str, expressions: Sequence[tuple[str, str, Sequence[str]]], **spec: Any) -> dict[str, Any]:
    """A stage of kwok: what happens to pods in a state."""
    matching = [
        {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
        for key, operator, values in expressions
    ]
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {"resourceRef": {"apiGroup": "v1", "kind": "Pod"}, "selector": {"matchExpressions": matching}} | spec,
    }


_ALIVE = (".metadata.deletionTimestamp", "DoesNotExist", ())
KWOK = {
    "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
    "kind": "KwokConfiguration",
    "options": {"podPlayStageParallelism": 64},
}
"""kwok plays that many pods at once: it is not what is measured."""
STAGES = (
    _stage("run", [_ALIVE, (".status.podIP", "DoesNotExist", ())], next={"statusTemplate": _RUNNING}),
    _stage(
        "succeed",
        [_ALIVE, (".status.phase", "In", ("Running",))],
        delay={"durationMilliseconds": SECONDS_RUNNING * 1000},
        next={"statusTemplate": _SUCCEEDED},
    ),
    _stage(
        "delete",
        [(".metadata.deletionTimestamp", "Exists", ())],
        next={"finalizers": {"empty": True}, "delete": True},
    ),
)


def pods_side_by_side(width: int) -> Registration:
    """A workflow of tasks that ask for one GPU each and have nothing to do with one another."""
    task = identifier(identifier_pb2.TASK, "bench.pod")
    one = [
        tasks_pb2.Resources.ResourceEntry(name=name, value=value)
        for name, value in (
            (tasks_pb2.Resources.CPU, "100m"),
            (tasks_pb2.Resources.MEMORY, "100Mi"),
            (tasks_pb2.Resources.GPU, "1"),
        )
    ]
    runtime = tasks_pb2.RuntimeMetadata(type=tasks_pb2.RuntimeMetadata.FLYTE_SDK, version="1.16.0", flavor="python")
    template = tasks_pb2.TaskTemplate(
        id=task,
        type="python-task",
        metadata=tasks_pb2.TaskMetadata(runtime=runtime),
        interface=interface_pb2.TypedInterface(inputs={}, outputs={}),
        container=tasks_pb2.Container(
            image="localhost/none:1", args=["true"], resources=tasks_pb2.Resources(requests=one, limits=one)
        ),
    )
    workflow = identifier(identifier_pb2.WORKFLOW, f"bench.pods_{width}")
    nodes = [
        core_workflow_pb2.Node(
            id=f"n{number}",
            metadata=core_workflow_pb2.NodeMetadata(name="pod"),
            task_node=core_workflow_pb2.TaskNode(reference_id=task),
        )
        for number in range(width)
    ]
    spec = core_workflow_pb2.WorkflowTemplate(
        id=workflow,
        metadata=core_workflow_pb2.WorkflowMetadata(),
        metadata_defaults=core_workflow_pb2.WorkflowMetadataDefaults(),
        interface=interface_pb2.TypedInterface(inputs={}, outputs={}),
        nodes=nodes,
    )
    plan = identifier(identifier_pb2.LAUNCH_PLAN, workflow.name)
    return Registration(
        task=task_pb2.TaskCreateRequest(id=task, spec=task_pb2.TaskSpec(template=template)),
        workflow=workflow_pb2.WorkflowCreateRequest(id=workflow, spec=workflow_pb2.WorkflowSpec(template=spec)),
        launch_plan=launch_plan_pb2.LaunchPlanCreateRequest(
            id=plan, spec=launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow, max_parallelism=width)
        ),
    )


@dataclass
class Moments:
    """When each attempt was ordered, and observed in each stage: Unix times by (execution, node, attempt)."""

    ordered: dict[tuple[str, str, int], float] = field(default_factory=dict[tuple[str, str, int], float])
    seen: dict[int, dict[tuple[str, str, int], tuple[float, float]]] = field(
        default_factory=dict[int, dict[tuple[str, str, int], tuple[float, float]]]
    )
    """By stage: when the log had it, and when it came to be so."""

    def take(self, recorded: Recorded) -> None:
        """Note what an envelope of an execution or of the launcher says."""
        moment = recorded.envelope.recorded_at.ToNanoseconds() / 1e9
        for fact in recorded.facts:
            if isinstance(fact, AttemptScheduled):
                self.ordered[fact.execution_id.name, fact.node_id, fact.attempt] = moment
            elif isinstance(fact, AttemptObserved):
                key = (fact.execution_id.name, fact.node_id, fact.attempt)
                became = fact.occurred_at.ToNanoseconds() / 1e9
                self.seen.setdefault(fact.stage, {}).setdefault(key, (moment, became))

    def of(self, *stages: int) -> dict[tuple[str, str, int], float]:
        """When each attempt was first observed in one of the stages."""
        first: dict[tuple[str, str, int], float] = {}
        for stage in stages:
            for key, (moment, _) in self.seen.get(stage, {}).items():
                first[key] = min(moment, first.get(key, moment))
        return first


async def _follow(log: Log, stream: str, moments: Moments) -> None:
    async for batch in log.follow(stream, after=0):
        for recorded in batch:
            if isinstance(recorded, Recorded):
                moments.take(recorded)


async def _until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"never reached: {what}")
        await asyncio.sleep(0.05)


def _calls(stack: StackProcess) -> Counter[str]:
    """Calls of the Kubernetes API so far, by verb and kind."""
    text = urlopen(stack.endpoints["metrics"]["k8s_launcher"]).read().decode()
    calls: Counter[str] = Counter()
    for labels, value in re.findall(r"^flightlog_kubernetes_requests_total\{(.*?)\} ([\d.e+]+)$", text, re.MULTILINE):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        calls[f"{named['verb']} {named['kind']}"] += int(float(value))
    return calls


async def _measure(cluster: Cluster, folder: Path) -> dict[str, str]:
    console = Console(stderr=True)
    api = await Api.open(KubernetesSettings.model_validate({"kubeconfig": cluster.kubeconfig}))
    room = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "48"}
    for number in range(NODES):
        metadata = {"name": f"gpu-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}}
        status = {"allocatable": room, "capacity": room}
        await api.create(_NODE, None, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})
    environment = {
        "FLIGHTLOG_LAUNCHER__RUNTIME": "kubernetes",
        "FLIGHTLOG_KUBERNETES__KUBECONFIG": str(cluster.kubeconfig),
        "FLIGHTLOG_KUBERNETES__OWN_NAMESPACE": "default",
    }
    with StackProcess(folder / "stack", environment=environment) as stack:
        log, blobs = await _log(stack)
        moments = Moments()
        following = [asyncio.create_task(_follow(log, name, moments)) for name in ("EXECUTION", "LAUNCHER")]
        client = Client(stack.grpc)
        registration = pods_side_by_side(WIDTH)
        await client.register(registration)
        total = EXECUTIONS * WIDTH
        begun = time.time()
        executions = [await client.create(registration.launch_plan_id, {}) for _ in range(EXECUTIONS)]
        stages = (AttemptObserved.QUEUED, AttemptObserved.INITIALIZING, AttemptObserved.RUNNING)
        await _until(lambda: len(moments.of(*stages)) >= total // 2, 300, "half of the pods are made")
        console.print(f"half of the pods after {time.time() - begun:.1f} s; killing the API server")
        halfway = dict(moments.of(*stages))
        killed = time.time()
        await cluster.kill("kube-apiserver")
        await cluster.restart("kube-apiserver")
        back = time.time()
        await _until(lambda: len(moments.of(*stages)) >= total, 600, "all pods are made")
        made_all = max(moments.of(*stages).values())
        calls = _calls(stack)
        console.print("all pods are made; waiting until all have ended")
        await asyncio.gather(*(client.finished(execution) for execution in executions))
        ended = time.time()
        pods = [pod async for page in api.pages(POD, None) for pod in page.items]
        for task in following:
            task.cancel()
        await client.close()
        await log.close()
        await blobs.close()
    await api.close()
    attempts = {key[2] for key in moments.ordered}
    if len(moments.ordered) != total or attempts != {0} or len(pods) > total:
        raise SystemExit(f"{len(moments.ordered)} attempts (numbers {attempts}) and {len(pods)} pods for {total} nodes")
    before = [moment - moments.ordered[key] for key, moment in halfway.items() if moment < killed]
    told = [
        moment - became
        for moment, became in moments.seen.get(AttemptObserved.RUNNING, {}).values()
        if became > back + 5 or moment < killed
    ]
    return {
        "pods in flight": f"{total:,} on {NODES} nodes",
        "launch rate until the API server is killed": f"{len(halfway) / (killed - begun):.0f} pods/s",
        "from the order's fact to the pod (p50, p95)": _both(before),
        "from a pod's change to its observation on the log (p50, p95), to a second": _both(told),
        "API server away": f"{back - killed:.1f} s",
        "all pods made": f"{made_all - begun:.1f} s after the first create call",
        "all executions succeeded": f"{ended - begun:.1f} s after it (each pod runs {SECONDS_RUNNING} s)",
        "API calls a pod until all were made": _per_pod(calls, total),
        "lost, or run twice": "none",
    }


async def _log(stack: StackProcess) -> tuple[Log, BlobStore]:
    credentials = stack.endpoints["credentials"]
    blobs = BlobStore.open(
        BlobSettings.model_validate(
            {
                "driver": "s3",
                "bucket": "flightlog",
                "endpoint": stack.endpoints["s3"],
                "access_key": credentials["s3_access_key"],
                "secret_key": credentials["s3_secret_key"],
            }
        )
    )
    settings = LogSettings(
        nats_url=stack.endpoints["nats"], user=credentials["nats_user"], password=credentials["nats_password"]
    )
    return await Log.connect(settings, blobs, name="bench"), blobs


def _both(samples: Sequence[float]) -> str:
    if len(samples) < 2:
        return "–"
    cuts = statistics.quantiles(samples, n=20)
    return f"{cuts[9]:.3f} s, {cuts[18]:.3f} s"


def _per_pod(calls: Mapping[str, int], pods: int) -> str:
    most = sorted(calls.items(), key=lambda item: -item[1])[:6]
    named = ", ".join(f"{name} {count}" for name, count in most)
    return f"{sum(calls.values()) / pods:.2f} ({named})"


_TEXT = """\
# Benchmarks of the Kubernetes runtime

Made by `make bench-k8s` on {date}: {machine}.
All of it runs on that one machine: etcd, kube-apiserver, controllers, scheduler, kwok (which plays {nodes} GPU nodes),
and an embedded stack whose launcher makes the pods. {executions} executions of {width} tasks each; half-way the API
server is killed and started again.

| what | figure |
|---|---|
{rows}

Pods are those of a real API server, scheduled by the real scheduler; only their containers are played. The launcher
shares two cores with everything else here.
"""


async def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="flightlog-bench-") as name:
        folder = Path(name)
        async with run_cluster(folder / "cluster", kwok_stages=(KWOK, *STAGES)) as cluster:
            figures = await _measure(cluster, folder)
    rows = "\n".join(f"| {name} | {figure} |" for name, figure in figures.items())
    page = _TEXT.format(
        date=date.today().isoformat(),
        machine=report.machine(),
        nodes=NODES,
        executions=EXECUTIONS,
        width=WIDTH,
        rows=rows,
    )
    _PAGE.write_text(page)
    print(page)


if __name__ == "__main__":
    asyncio.run(_main())
