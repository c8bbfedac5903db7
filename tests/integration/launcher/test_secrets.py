"""Secrets on their way from the operator's folder into a task's process, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved


def _file(uri: str) -> str:
    return Path(urlparse(uri).path).read_text()


def _contents(folder: Path | str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """The operator's secrets."""
    folder = tmp_path / "given"
    for name, value in (
        ("Db/Password", "correct horse"),
        ("Db/other", "not for tasks"),
        ("certificates/client.pem", "battery staple"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    return folder


async def test_task_reads_what_it_asked_for_and_nothing_of_it_stays(
    start_launcher: Any,
    executions: Any,
    template_of: Any,
    given: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLIGHTLOG_SECRET_DB_PASSWORD", "not for tasks: there is a file")
    async with start_launcher(warm=True, secrets=given):
        fact = await executions.schedule(template_of("read_secrets"))
        end = await executions.end(fact)
        assert end.exit.code == 0, _file(end.logs[1].uri)
        outputs = await executions.outputs(fact)
    said = outputs.literals["o0"].scalar.primitive.string_value.split("|")
    assert said[:3] == ["correct horse", "correct horse", "battery staple"]
    assert said[4] == ""
    assert _contents(said[3]) == {}
    kept = _contents(tmp_path / "tasks" / "attempts")
    assert set(kept) >= {"order.json", "claim.json", "exit.json", "stdout", "stderr"}
    for content in kept.values():
        assert b"correct horse" not in content
        assert b"battery staple" not in content


async def test_plain_command_gets_its_variable(start_launcher: Any, executions: Any, given: Path) -> None:
    template = executions.program("sh", "-c", 'test "$TOKEN" = "correct horse" && test -z "$_FSEC_DB_OTHER"')
    template.security_context.secrets.add(group="Db", key="Password", mount_requirement="ENV_VAR", env_var="TOKEN")
    async with start_launcher(secrets=given):
        end = await executions.end(await executions.schedule(template))
    assert (end.stage, end.exit.code) == (AttemptObserved.EXITED, 0)


async def test_secret_that_is_not_there_is_missed_before_there_is_room(
    start_launcher: Any, executions: Any, given: Path
) -> None:
    template = executions.program("true", gpu="1")
    template.security_context.secrets.add(group="Db", key="no-such-key")
    async with start_launcher(secrets=given):
        end = await executions.end(await executions.schedule(template))
    assert end.error.code == "SecretNotFound"


async def test_secret_that_is_not_there_is_a_clear_failure(start_launcher: Any, executions: Any, given: Path) -> None:
    template = executions.program("true")
    template.security_context.secrets.add(group="Db", key="no-such-key")
    async with start_launcher(secrets=given):
        end = await executions.end(await executions.schedule(template))
    assert (end.stage, end.error.code, end.recoverable) == (AttemptObserved.NOT_LAUNCHED, "SecretNotFound", False)
    assert end.error.kind == end.error.USER
    assert "'no-such-key'" in end.error.message
    assert "correct horse" not in str(end)
