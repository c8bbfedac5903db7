"""What a deleted execution has in the object store."""

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.deletion.belongings import Belongings, belongings, namesakes

KEY = ("p", "d", "n")
DOMAINS = ("development", "production")


def created(prefix: str = "s3://b/metadata/p-d-n") -> facts.ExecutionCreated:
    return facts.ExecutionCreated(
        config=facts.ResolvedConfig(metadata_prefix=prefix, raw_output_prefix="s3://b/data"),
        closure=DataRef(uri="s3://b/closures/c"),
        inputs=DataRef(uri="s3://b/inputs/p/d/n/i"),
        user_inputs=DataRef(uri="s3://b/inputs/p/d/n/u"),
    )


def test_its_data_and_inputs_are_its_own_and_compiled_workflows_are_not() -> None:
    first = created()
    first.recovery.uri = "s3://b/inputs/p/d/n/r"
    found = belongings(
        KEY,
        [
            first,
            facts.AttemptScheduled(node_id="n0", raw_output_prefix="s3://b/data/xy/n-n0-0/"),
            facts.AttemptScheduled(node_id="n0", attempt=1, raw_output_prefix="s3://b/data/zz/n-n0-1"),
            facts.NodeSucceeded(node_id="n0", outputs=DataRef(uri="s3://b/metadata/of-another/outputs.pb")),
        ],
    )
    assert found.folders == {"s3://b/metadata/p-d-n", "s3://b/data/xy/n-n0-0", "s3://b/data/zz/n-n0-1"}
    assert found.objects == {f"s3://b/inputs/p/d/n/{name}" for name in "iur"}


def test_places_that_are_no_object_stores_and_whole_buckets_are_left_alone() -> None:
    for place in ("", "/tmp/data", "file:///tmp/data", "gs://b/data", "s3://", "s3://b", "s3://b/"):
        found = belongings(KEY, [created(place), facts.AttemptScheduled(raw_output_prefix=place)])
        assert found.folders == set(), place


def test_places_that_are_not_named_after_it_are_left_alone() -> None:
    """Histories are imported, too: nobody is to say that all there is belongs to an execution, and delete that."""
    for place in ("s3://b/flightlog", "s3://b/metadata", "s3://b/metadata/p-d-other", "s3://b/p-d-n/", "s3://b/x/n"):
        first = created(place)
        first.inputs.uri = first.user_inputs.uri = first.recovery.uri = "s3://b/flightlog/keys/p/k"
        found = belongings(KEY, [first, facts.AttemptScheduled(node_id="n0", raw_output_prefix=place)])
        assert found.objects == set()
        assert found.folders == ({"s3://b/p-d-n"} if place == "s3://b/p-d-n/" else set()), place


def test_what_is_others_too_is_not_its_own() -> None:
    own = Belongings({"s3://b/a", "s3://b/b"}, {"s3://b/c", "s3://b/d"})
    assert own.without(Belongings({"s3://b/b"}, {"s3://b/d"})) == Belongings({"s3://b/a"}, {"s3://b/c"})


def test_of_a_deleted_one_nothing_is_known() -> None:
    assert belongings(KEY, [facts.ExecutionDeleted(reason="a test")]) == Belongings()


def test_names_with_dashes_may_make_the_same_folder() -> None:
    assert namesakes(("p", "development", "run"), DOMAINS) == []
    assert namesakes(("p", "development", "a-production-b"), DOMAINS) == [("p-development-a", "production", "b")]
    assert namesakes(("p", "development", "development-b"), DOMAINS) == [("p-development", "development", "b")]
    assert namesakes(("p-development-a", "production", "b"), DOMAINS) == [("p", "development", "a-production-b")]
