"""flytekit tasks run by forks of a warm Python."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved


def _file(uri: str) -> str:
    return Path(urlparse(uri).path).read_text()


async def test_task_runs_and_its_outputs_log_and_usage_are_there(
    start_launcher: Any, executions: Any, template_of: Any
) -> None:
    async with start_launcher(warm=True):
        fact = await executions.schedule(template_of("increment"), inputs={"x": executions.integer(41)})
        end = await executions.end(fact)

    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 0), _file(end.logs[1].uri)
    outputs = await executions.outputs(fact)
    assert outputs.literals["o0"].scalar.primitive.integer == 42
    assert [log.name for log in end.logs] == ["stdout", "stderr"]
    assert end.usage.peak_memory_bytes > 1 << 20
    assert end.usage.wall_time.ToTimedelta().total_seconds() > 0
    assert executions.stages(await executions.observed(fact))[-2:] == ["RUNNING", "EXITED"]


async def test_user_code_starts_soon_after_the_order(start_launcher: Any, executions: Any, template_of: Any) -> None:
    async with start_launcher(warm=True):
        template = template_of("clock")
        await executions.end(await executions.schedule(template))
        delays: list[float] = []
        for _ in range(10):
            fact = await executions.attempt(template)
            ordered = time.time()
            await executions.append(fact.execution_id.name, fact)
            await executions.end(fact)
            outputs = await executions.outputs(fact)
            delays.append(outputs.literals["o0"].scalar.primitive.float_value - ordered)
    delays.sort()
    # A start without a warm Python takes about two seconds; the bound leaves room for a busy machine.
    assert delays[len(delays) // 2] < 1.0
