"""What is measured, one function a row of the table."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from flyteidl.core import identifier_pb2

from flightlog_bench.client import Client
from flightlog_bench.workflows import Registration, chain, fan_out, graph, identifier, launching, mapped


@dataclass(frozen=True)
class Measure:
    """One row: `samples` in `unit`; for rates more is better."""

    name: str
    unit: str
    samples: tuple[float, ...]
    flyte: str
    temporal: str
    target: str

    @property
    def p50(self) -> float:
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


async def _repeat(times: int, once: Callable[[], Awaitable[float]]) -> tuple[float, ...]:
    await once()  # the first run pays for caches and connections that any longer-lived server has
    return tuple([await once() for _ in range(times)])


async def _latency(client: Client, registration: Registration, times: int) -> tuple[float, ...]:
    await client.register(registration)
    return await _repeat(times, lambda: client.run(registration.launch_plan_id, {"x": 1}))


async def chain_10(client: Client) -> Measure:
    return Measure("chain of 10", "s", await _latency(client, chain(10), 20), "0.16 s", "0.09–1.0 s", "0.06 s")


async def chain_100(client: Client) -> Measure:
    return Measure("chain of 100", "s", await _latency(client, chain(100), 10), "3.7 s", "10 s", "0.4 s")


async def fan_100(client: Client) -> Measure:
    return Measure("fan-out of 100", "s", await _latency(client, fan_out(100), 10), "0.6 s", "0.21 s", "0.15 s")


async def fan_1000(client: Client) -> Measure:
    return Measure("fan-out of 1,000", "s", await _latency(client, fan_out(1000), 5), "19.5 s", "1.5 s", "1 s")


async def _per_node(client: Client, size: int, times: int) -> Measure:
    """What a node costs in a graph of this many: the same whatever the size, if the engine is linear."""
    registration = graph(size)
    nodes = len(registration.workflow.spec.template.nodes)
    samples = await _latency(client, registration, times)
    per_node = tuple(1000 * sample / nodes for sample in samples)
    return Measure(f"layered graph of {nodes:,}, per node", "ms", per_node, "–", "–", "near-linear")


async def graph_10(client: Client) -> Measure:
    return await _per_node(client, 10, 20)


async def graph_100(client: Client) -> Measure:
    return await _per_node(client, 100, 10)


async def graph_1000(client: Client) -> Measure:
    return await _per_node(client, 1000, 5)


async def graph_10000(client: Client) -> Measure:
    return await _per_node(client, 10_000, 3)


async def dynamic_100(client: Client) -> Measure:
    """A dynamic task that makes 100 echo nodes: the whole run, the task's own process included."""
    launch_plan = identifier(identifier_pb2.LAUNCH_PLAN, "flightlog_bench.noop.dynamic_of_100")
    samples = await _repeat(5, lambda: client.run(launch_plan, {}))
    return Measure("dynamic task of 100 echo nodes (process runtime)", "s", samples, "–", "–", "–")


async def _map(client: Client, size: int, times: int) -> Measure:
    registration = mapped(size)
    await client.register(registration)
    samples = await _repeat(times, lambda: client.run(registration.launch_plan_id, {}))
    return Measure(f"map of {size:,} echo elements", "s", samples, "–", "–", "–")


async def map_1000(client: Client) -> Measure:
    return await _map(client, 1000, 5)


async def map_10000(client: Client) -> Measure:
    return await _map(client, 10_000, 3)


async def nested_lp_50(client: Client) -> Measure:
    """50 launch-plan nodes side by side, each a child execution of one echo node."""
    await client.register(chain(1))
    return Measure("50 nested launch plans", "s", await _latency(client, launching(50), 10), "–", "–", "–")


async def load(client: Client) -> Measure:
    """100 runs of a chain of 10 started at once: seconds until the last one ended."""
    registration = chain(10)
    await client.register(registration)

    async def once() -> float:
        started = time.perf_counter()
        await asyncio.gather(*(client.run(registration.launch_plan_id, {"x": i}) for i in range(100)))
        return time.perf_counter() - started

    samples = await _repeat(5, once)
    return Measure("100 runs of chain-10 at once", "s", samples, "34 s", "3.3 s", "2 s")


async def creates(client: Client) -> Measure:
    """Create calls a second, 16 callers, each waiting for its answer; the runs end before the next sample."""
    registration = chain(1)
    await client.register(registration)

    async def once() -> float:
        count, callers = 400, 16
        waiting = iter(range(count))
        made: list[identifier_pb2.WorkflowExecutionIdentifier] = []

        async def caller() -> None:
            made.extend([await client.create(registration.launch_plan_id, {"x": number}) for number in waiting])

        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        took = time.perf_counter() - started
        await asyncio.gather(*(client.finished(execution) for execution in made))
        return count / took

    return Measure("create calls, 16 clients", "/s", await _repeat(5, once), "75/s", "~1,000/s", "400/s")


async def task_start(client: Client) -> Measure:
    """A registered no-op flytekit task as a local process: the whole run, create to SUCCEEDED."""
    launch_plan = identifier(identifier_pb2.LAUNCH_PLAN, "flightlog_bench.noop.one_task")
    samples = await _repeat(10, lambda: client.run(launch_plan, {}))
    name = "task start: a run of one no-op Python task (process runtime)"
    return Measure(name, "s", samples, "3–4 s (pod)", "–", "–")


# The tasks first: the embedded S3 server gets slower with every execution, which only tasks notice. The largest last:
# the others are not measured on what they leave.
ALL = (
    task_start,
    dynamic_100,
    chain_10,
    chain_100,
    fan_100,
    fan_1000,
    load,
    creates,
    graph_10,
    graph_100,
    graph_1000,
    graph_10000,
    map_1000,
    map_10000,
    nested_lp_50,
)
# Those that run Python tasks, which have to be registered by pyflyte.
OF_TASKS = (task_start, dynamic_100)
