"""flytekit tasks run by forks of a warm Python."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved


def _file(uri: str) -> str:
    return Path(urlparse(uri).path).read_text()


async def test_task_runs_and_its_outputs_log_and_usage_are_there(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    fact = await executions.schedule(template_of("increment"), inputs={"x": executions.integer(41)})
    end = await executions.end(fact)

    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 0), _file(end.logs[1].uri)
    outputs = await executions.outputs(fact)
    assert outputs.literals["o0"].scalar.primitive.integer == 42
    assert [log.name for log in end.logs] == ["stdout", "stderr"]
    assert end.usage.peak_memory_bytes > 1 << 20
    assert end.usage.wall_time.ToTimedelta().total_seconds() > 0
    assert executions.stages(await executions.observed(fact))[-2:] == ["RUNNING", "EXITED"]


async def test_user_code_starts_soon_after_the_order(warm_launcher: Any, executions: Any, template_of: Any) -> None:
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


async def test_defining_tasks_loads_nothing_more(warm_launcher: Any, executions: Any, template_of: Any) -> None:
    fact = await executions.schedule(template_of("loaded_late"))
    end = await executions.end(fact)
    assert end.exit.code == 0, _file(end.logs[1].uri)
    assert not (await executions.outputs(fact)).literals["o0"].scalar.primitive.string_value


async def test_forks_differ_in_everything_a_new_process_has_of_its_own(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    template = template_of("whereabouts")
    facts = [await executions.schedule(template) for _ in range(2)]
    ends = [await executions.end(fact) for fact in facts]
    said = [(await executions.outputs(fact)).literals["o0"].scalar.primitive.string_value.split("|") for fact in facts]
    for fact, words in zip(facts, said, strict=True):
        folder, leads_group, execution, task_name, _, _, path, module = words
        assert leads_group == "True"
        assert (execution, task_name, module) == (fact.execution_id.name, template.id.name, "launcher_tasks")
        assert path.endswith(folder)
    for mine, other in ((0, 0), (4, 4), (5, 5)):  # directory, random, numpy.random
        assert said[0][mine] != said[1][other]
    assert "said to stdout" in _file(ends[0].logs[0].uri)


async def test_elements_of_a_map_take_their_own_input_by_the_index_they_are_told(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    template = template_of("increments")
    inputs = {"x": executions.integers(10, 20, 30)}
    facts = [
        await executions.schedule(
            template,
            inputs=inputs,
            envs={"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": str(index)},
        )
        for index in range(3)
    ]
    ends = [await executions.end(fact) for fact in facts]
    assert [end.exit.code for end in ends] == [0, 0, 0], _file(ends[0].logs[1].uri)
    outputs = [await executions.outputs(fact) for fact in facts]
    assert [item.literals["o0"].scalar.primitive.integer for item in outputs] == [11, 21, 31]


async def test_exception_of_the_user_is_in_the_error_document_and_the_process_exits_as_usual(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    fact = await executions.schedule(template_of("fail"), inputs={"message": executions.text("the reason")})
    end = await executions.end(fact)
    assert "ValueError: the reason" in await executions.error(fact)
    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 0)


async def test_crash_and_a_killed_worker_concern_nobody_else(
    warm_launcher: Any, executions: Any, template_of: Any, tmp_path: Path
) -> None:
    crashed = await executions.end(await executions.schedule(template_of("crash")))
    mark = tmp_path / "mark"
    inputs = {"path": executions.text(str(mark)), "seconds": executions.number(600.0)}
    sleeping = await executions.schedule(template_of("sleep"), inputs=inputs)
    await executions.until(sleeping, AttemptObserved.RUNNING)
    (zygote,) = warm_launcher.runtime.zygotes.values()
    os.kill(zygote.pid, signal.SIGKILL)
    # The next order waits for the new worker; the running task does not notice.
    fact = await executions.schedule(template_of("increment"), inputs={"x": executions.integer(1)})
    assert (await executions.end(fact)).exit.code == 0
    assert executions.stages(await executions.observed(sleeping))[-1] == "RUNNING"
    await executions.abort(sleeping)
    killed = await executions.end(sleeping)
    assert (crashed.stage, crashed.exit.signal) == (AttemptObserved.EXITED, signal.SIGSEGV)
    assert killed.stage == AttemptObserved.KILLED


async def test_variable_that_works_only_from_the_start_gets_a_process_of_its_own(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    fact = await executions.schedule(
        template_of("environment"),
        inputs={"name": executions.text("OMP_NUM_THREADS")},
        envs={"OMP_NUM_THREADS": "3"},
    )
    end = await executions.end(fact)
    assert end.exit.code == 0, _file(end.logs[1].uri)
    outputs = await executions.outputs(fact)
    assert outputs.literals["o0"].scalar.primitive.string_value == "3"


async def test_environment_without_flytekit_is_a_clear_error(
    start_launcher: Any, executions: Any, template_of: Any
) -> None:
    async with start_launcher(preload=["no_such_module_here"]):
        end = await executions.end(await executions.schedule(template_of("increment")))
    assert (end.stage, end.error.code) == (AttemptObserved.NOT_LAUNCHED, "EnvironmentNotReady")
    assert "no_such_module_here" in end.error.message


async def test_tasks_share_fetched_code_and_cannot_disturb_one_another(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    template = template_of("spoil")
    for _ in range(2):
        fact = await executions.schedule(template)
        end = await executions.end(fact)
        assert end.exit.code == 0, _file(end.logs[1].uri)
        found = (await executions.outputs(fact)).literals["o0"].scalar.primitive.string_value.split(",")
        # What flytekit leaves where it unpacks: the archive too.
        assert found == sorted([executions.distribution.rpartition("/")[2], "launcher_tasks.py"])


async def test_code_that_was_thrown_away_is_fetched_by_the_task_itself(
    warm_launcher: Any, executions: Any, template_of: Any, tmp_path: Path
) -> None:
    inputs = {"x": executions.integer(1)}
    first = await executions.schedule(template_of("increment"), inputs=inputs)
    assert (await executions.end(first)).exit.code == 0
    (unpacked,) = (warm_launcher.folder / "code").iterdir()
    unpacked.rename(tmp_path / "elsewhere")
    second = await executions.schedule(template_of("increment"), inputs=inputs)
    end = await executions.end(second)
    (tmp_path / "elsewhere").rename(unpacked)
    assert end.exit.code == 0, _file(end.logs[1].uri)


async def test_missing_code_is_reported_as_flytekit_does(warm_launcher: Any, executions: Any, template_of: Any) -> None:
    template = template_of("increment")
    missing = executions.blobs.uri("code", "missing.tar.gz")
    for index, argument in enumerate(template.container.args):
        template.container.args[index] = argument.replace(executions.distribution, missing)
    end = await executions.end(await executions.schedule(template, inputs={"x": executions.integer(1)}))
    assert end.exit.code == 1
    assert "task execution code was not found" in _file(end.logs[1].uri)


async def test_store_client_made_ahead_is_not_used_by_a_task_with_other_settings(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    fact = await executions.schedule(template_of("store_region"), envs={"AWS_DEFAULT_REGION": "eu-west-3"})
    end = await executions.end(fact)
    assert end.exit.code == 0, _file(end.logs[1].uri)
    outputs = await executions.outputs(fact)
    assert outputs.literals["o0"].scalar.primitive.string_value == "eu-west-3"


async def test_shepherd_killed_while_it_waits_for_an_order_costs_nothing(
    warm_launcher: Any, executions: Any, template_of: Any
) -> None:
    import psutil

    first = await executions.schedule(template_of("increment"), inputs={"x": executions.integer(1)})
    await executions.end(first)
    (zygote,) = warm_launcher.runtime.zygotes.values()
    for waiting in psutil.Process(zygote.pid).children():
        waiting.kill()
    fact = await executions.schedule(template_of("increment"), inputs={"x": executions.integer(2)})
    end = await executions.end(fact)
    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 0)


async def test_environment_that_does_not_exist_is_a_clear_error(
    start_launcher: Any, executions: Any, template_of: Any, tmp_path: Path
) -> None:
    async with start_launcher(python=tmp_path / "no" / "bin" / "python"):
        end = await executions.end(await executions.schedule(template_of("increment")))
    assert (end.stage, end.error.code) == (AttemptObserved.NOT_LAUNCHED, "EnvironmentNotReady")
    assert str(tmp_path / "no" / "bin" / "python") in end.error.message


async def test_environment_that_ends_while_it_loads_is_a_clear_error(
    start_launcher: Any, executions: Any, template_of: Any, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 7\n")
    python.chmod(0o700)
    async with start_launcher(python=python):
        end = await executions.end(await executions.schedule(template_of("increment")))
    assert (end.stage, end.error.code) == (AttemptObserved.NOT_LAUNCHED, "EnvironmentNotReady")
    assert f"{python} ended 3 times while loading" in end.error.message
