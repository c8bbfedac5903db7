"""Part D of the table: results that are remembered."""

from __future__ import annotations

import pytest

from tests.conformance.client import TOKEN, Backend, Start
from tests.conformance.runs import Run

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


@rows(50, 54)
@runs(Start("caching.remembered", {"token": TOKEN}))
def test_second_run_of_a_cached_task_takes_the_first_ones_outputs(run: Run, backend: Backend) -> None:
    first = run.succeed().node("n0")
    assert first.cache == "CACHE_POPULATED"
    start = Start("caching.remembered", {"token": TOKEN})
    again = backend.begin(start).succeed()
    assert again.output == run.output
    hit = again.node("n0")
    assert (hit.cache, hit.phase, hit.tasks) == ("CACHE_HIT", "SUCCEEDED", [])
    metadata = hit.closure.task_node_metadata
    source = metadata.catalog_key.source_task_execution
    assert source.node_execution_id.execution_id.name == run.name
    assert source.node_execution_id.node_id == "n0"
    assert metadata.catalog_key.dataset_id.name == "flyte_task-caching.drawn"
    stored = first.closure.task_node_metadata.catalog_key
    assert metadata.catalog_key.artifact_tag == stored.artifact_tag
    assert metadata.catalog_key.dataset_id.version == stored.dataset_id.version
    assert again.synced().node_executions["n0"].outputs["o0"] == run.output

    overwriting = backend.begin(Start(start.name, start.inputs, arguments={"overwrite_cache": True})).succeed()
    assert overwriting.output != run.output
    assert len(overwriting.node("n0").tasks) == 1
    assert backend.begin(start).succeed().output == overwriting.output


@rows(51, 52)
@runs(Start("caching.other", {"token": TOKEN}))
def test_only_cache_version_and_interface_belong_to_the_key(run: Run, backend: Backend) -> None:
    """The same text is the input of two tasks; and one of them is registered once more in another version."""
    assert run.succeed().node("n0").cache == "CACHE_POPULATED"
    key = run.node("n0").closure.task_node_metadata.catalog_key
    assert key.dataset_id.version.startswith("2-")
    renamed = backend.register_version("caching.drawn_two")
    execution = backend.remote.execute(
        backend.remote.fetch_task(name="caching.drawn_two", version=renamed), inputs={"token": backend.version}
    )
    again = backend.run(execution.id.name).succeed()
    assert again.outputs["o0"] == run.output
    (node,) = again.phases()
    assert again.node(node).cache == "CACHE_HIT"


@rows(53)
@runs(Start("caching.ignoring", {"token": TOKEN, "noise": 1}))
def test_ignored_inputs_do_not_belong_to_the_key(run: Run, backend: Backend) -> None:
    run.succeed()
    again = backend.begin(Start("caching.ignoring", {"token": TOKEN, "noise": 2})).succeed()
    assert again.output == run.output
    assert again.node("n0").cache == "CACHE_HIT"


@rows(55)
@runs(Start("caching.hashed", {"token": TOKEN, "noise": 1}))
def test_values_with_a_hash_are_compared_by_it(run: Run, backend: Backend) -> None:
    run.succeed()
    again = backend.begin(Start("caching.hashed", {"token": TOKEN, "noise": 2})).succeed()
    assert again.output == run.output
    assert again.node("n1").cache == "CACHE_HIT"
    assert again.node("n0").outputs != run.node("n0").outputs


@rows(56)
@runs(
    Start("caching.serialized", {"token": TOKEN}),
    Start("caching.serialized", {"token": TOKEN}, labels={"which": "second"}),
)
def test_serialized_task_runs_once_for_two_at_the_same_time(runs: list[Run]) -> None:
    first, second = (run.succeed() for run in runs)
    assert first.output == second.output
    assert sorted((len(run.node("n0").tasks), run.node("n0").cache) for run in runs) == [
        (0, "CACHE_HIT"), (1, "CACHE_POPULATED"),
    ]  # fmt: skip


@rows(56)
@runs(
    Start("caching.serialized_failure", {"token": TOKEN}),
    Start("caching.serialized_failure", {"token": TOKEN}, labels={"which": "second"}),
)
def test_when_the_one_that_runs_fails_the_other_one_tries(runs: list[Run]) -> None:
    for run in runs:
        run.fail()
        assert len(run.node("n0").tasks) == 1


@rows(57)
@runs(Start("caching.dynamic_remembered", {"token": TOKEN}))
def test_dynamic_task_is_remembered_as_a_whole(run: Run, backend: Backend) -> None:
    assert run.succeed().node("n0").cache == "CACHE_POPULATED"
    again = backend.begin(Start("caching.dynamic_remembered", {"token": TOKEN})).succeed()
    assert again.output == run.output
    assert again.node("n0").cache == "CACHE_HIT"
    assert not again.node("n0").metadata.is_dynamic
    assert again.phases() == {"n0": "SUCCEEDED"}


@rows(81)
@runs(Start("caching.mapped", {"token": TOKEN, "size": 4}))
def test_elements_of_a_map_are_remembered_one_by_one(run: Run, backend: Backend) -> None:
    run.succeed()
    again = backend.begin(Start("caching.mapped", {"token": TOKEN, "size": 5})).succeed()
    assert again.output[:4] == run.output
    statuses = [resource.cache_status for resource in again.node("n1").task.resources]
    # CatalogCacheStatus: CACHE_HIT 2, CACHE_POPULATED 3.
    assert statuses == [2, 2, 2, 2, 3]


@rows(50)
@runs(Start("caching.failing", {"token": TOKEN}))
def test_failures_are_not_remembered(run: Run, backend: Backend) -> None:
    run.fail()
    again = backend.begin(Start("caching.failing", {"token": TOKEN})).fail()
    assert len(again.node("n0").tasks) == 1


@rows(59)
@runs(Start("caching.keyed"))
def test_keys_are_those_that_flyte_makes(run: Run) -> None:
    """As recorded of Flyte 1.16.8 for the same interface, cache version and input."""
    key = run.succeed().node("n0").closure.task_node_metadata.catalog_key
    assert key.dataset_id.name == "flyte_task-caching.times_ten"
    assert key.dataset_id.version == "1-BgPQX4Pd-PmK8qF6C"
    assert key.artifact_tag.name == "flyte_cached-qqAlqAgGTLhOTcTGx9dHM6iCwO2o--LdG3I5V8n0oZ0"
