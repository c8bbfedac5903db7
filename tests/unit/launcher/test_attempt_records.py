"""The attempts' records: an attempt is ordered once, claimed once, and found again after a restart."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.process import shepherd
from services.k8s_launcher.process.attempts import Record, open_records
from services.k8s_launcher.runtime import AttemptKey, Origin, Scheduled

KEY = AttemptKey("p", "d", "e", "n0", 0)
ORIGIN = Origin("event", "correlation", "trace")


def _scheduled(key: AttemptKey = KEY) -> Scheduled:
    fact = AttemptScheduled(node_id=key.node_id, attempt=key.attempt, output_prefix="s3://b/o")
    fact.execution_id.project, fact.execution_id.domain, fact.execution_id.name = key.project, key.domain, key.execution
    return Scheduled(fact, ORIGIN)


def test_order_is_kept_once_and_found_again(tmp_path: Path) -> None:
    assert Record(tmp_path, KEY).order(_scheduled())
    assert not Record(tmp_path, KEY).order(_scheduled())
    (found,) = open_records(tmp_path)
    assert found.key == KEY
    assert found.scheduled() == _scheduled()


def test_closed_attempt_is_not_found_but_stays_known(tmp_path: Path) -> None:
    record = Record(tmp_path, KEY)
    record.order(_scheduled())
    record.close(keep_work=False)
    assert list(open_records(tmp_path)) == []
    assert not record.order(_scheduled())
    assert not record.order_abort("late", ORIGIN)


def test_buried_attempt_is_never_ordered(tmp_path: Path) -> None:
    record = Record(tmp_path, KEY)
    assert record.order_abort("stop", ORIGIN)
    assert record.bury()
    assert not record.order(_scheduled())
    claim = record.claim()
    assert claim is not None
    assert claim.is_tombstone


def test_only_the_first_claim_counts(tmp_path: Path) -> None:
    record = Record(tmp_path, KEY)
    record.order(_scheduled())
    assert shepherd.claim(str(record.directory), {"first": True})
    assert not record.bury()


def test_first_abort_counts(tmp_path: Path) -> None:
    record = Record(tmp_path, KEY)
    record.order(_scheduled())
    record.order_abort("first", ORIGIN)
    record.order_abort("second", ORIGIN)
    aborting = record.aborting()
    assert aborting is not None
    assert aborting.reason == "first"


_parts = st.text(min_size=1, max_size=60).filter(lambda text: "\0" not in text)


@settings(max_examples=200)
@given(st.lists(st.tuples(_parts, _parts), min_size=2, max_size=2, unique=True))
def test_different_attempts_have_different_directories_inside_the_folder(names: list[tuple[str, str]]) -> None:
    data = Path("/data")
    records = [Record(data, AttemptKey("p", "d", execution, node, 0)) for execution, node in names]
    assert records[0].directory != records[1].directory
    for record in records:
        assert record.directory.is_relative_to(data)
        assert ".." not in record.directory.parts
        assert all(len(part.encode()) <= 255 for part in record.directory.parts)
