"""Which parsed closures are kept at hand."""

from services.execution.engine import Program
from services.execution.programs import ProgramCache
from tests.unit.engine.story import Flow


def program(tasks: int) -> Program:
    """A program of so many nodes beside its start and end."""
    flow = Flow()
    for number in range(tasks):
        flow.task(f"n{number}")
    return Program.parse(flow.closure())


def test_the_longest_unused_programs_go_first() -> None:
    cache = ProgramCache(limit=10)
    for digest in (b"a", b"b"):
        cache.keep(digest, program(3))
    assert cache[b"a"] is cache.get(b"a")
    cache.keep(b"c", program(3))
    assert list(cache) == [b"a", b"c"]
    assert b"b" not in cache
    cache.keep(b"d", program(8))
    assert list(cache) == [b"d"]


def test_nodes_of_sub_workflows_count() -> None:
    cache = ProgramCache(limit=9)
    cache.keep(b"a", Program.parse(Flow().sub("n0", Flow("inner").task("n0")).closure()))
    cache.keep(b"b", program(1))
    assert set(cache) == {b"a", b"b"}
    cache.keep(b"c", program(1))
    assert set(cache) == {b"b", b"c"}


def test_a_program_is_kept_however_large_it_is() -> None:
    cache = ProgramCache(limit=1)
    large = program(5)
    cache.keep(b"a", large)
    cache.keep(b"a", large)
    assert cache[b"a"] is large
