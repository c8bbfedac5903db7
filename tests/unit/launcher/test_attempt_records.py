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


def test_abort_of_an_order_that_was_cut_short_is_kept(tmp_path: Path) -> None:
    record = Record(tmp_path, KEY)
    record.directory.mkdir(parents=True)  # all that a crash left of it
    assert record.order_abort("why", ORIGIN)
    (found,) = open_records(tmp_path)
    assert found.aborting() is not None


def test_lost_attempt_is_found_again_but_can_never_start(tmp_path: Path) -> None:
    record = Record(tmp_path, KEY)
    assert record.order_lost(_scheduled())
    assert not record.order_lost(_scheduled())
    assert not record.order(_scheduled())
    (found,) = open_records(tmp_path)
    assert found.scheduled() == _scheduled()
    assert not shepherd.claim(str(found.directory), {})


def test_data_folder_may_be_moved(tmp_path: Path) -> None:
    Record(tmp_path / "here", KEY).order(_scheduled())
    (tmp_path / "here").rename(tmp_path / "there")
    (found,) = open_records(tmp_path / "there")
    assert found.scheduled() == _scheduled()


def test_directories_in_use_are_left_alone(tmp_path: Path) -> None:
    record = Record(tmp_path, KEY)
    record.make_work()
    try:
        (record.work / "made").touch()
        record.make_work()
        assert (record.work / "made").exists()
    finally:
        record.close(keep_work=False)
    assert not record.work.exists()
    assert not record.temporary.exists()


def test_temporary_folders_of_different_data_folders_differ(tmp_path: Path) -> None:
    assert Record(tmp_path / "a", KEY).temporary != Record(tmp_path / "b", KEY).temporary
