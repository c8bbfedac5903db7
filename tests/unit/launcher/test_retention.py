"""Ended attempts are removed when they are old or too many; running ones never."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.process import shepherd
from services.k8s_launcher.process.attempts import Record
from services.k8s_launcher.process.retention import tidy
from services.k8s_launcher.runtime import AttemptKey, Origin, Scheduled
from services.k8s_launcher.settings import ProcessSettings

NEVER, WITHOUT_LIMIT = 0.0, 1 << 40


def _attempt(data: Path, execution: str, *, at: float, ended: bool = True, size: int = 0) -> Record:
    record = Record(data, AttemptKey("p", "d", execution, "n0", 0))
    record.order(Scheduled(AttemptScheduled(node_id="n0"), Origin("event", "correlation")))
    shepherd.claim(str(record.directory), {})
    record.stdout.write_bytes(b"x" * size)
    if ended:
        record.close(keep_work=False)
    for file in record.directory.iterdir():
        os.utime(file, (at, at))
    return record


def test_old_ones_go_and_leave_no_empty_folders(tmp_path: Path) -> None:
    old, new = _attempt(tmp_path, "old", at=100), _attempt(tmp_path, "new", at=300)
    assert tidy(tmp_path, oldest=200, most_bytes=WITHOUT_LIMIT) == 1
    assert not (tmp_path / "attempts" / "p" / "d" / "old").exists()
    assert not old.directory.exists()
    assert new.stdout.exists()


def test_oldest_go_first_until_the_rest_fits(tmp_path: Path) -> None:
    records = [_attempt(tmp_path, f"e{at}", at=at, size=10_000) for at in (300, 100, 200)]
    assert tidy(tmp_path, oldest=NEVER, most_bytes=25_000) == 1
    assert [record.directory.exists() for record in records] == [True, False, True]


def test_running_attempt_is_never_touched(tmp_path: Path) -> None:
    running = _attempt(tmp_path, "running", at=1, ended=False, size=10_000)
    assert tidy(tmp_path, oldest=200, most_bytes=0) == 0
    assert running.stdout.exists()


def test_folder_without_attempts_is_fine(tmp_path: Path) -> None:
    assert tidy(tmp_path, oldest=200, most_bytes=0) == 0


def test_a_negative_age_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        ProcessSettings.model_validate({"directory": tmp_path, "keep_ended_days": -1})
