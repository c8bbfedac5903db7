"""What a deleted execution has in the object store."""

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.deletion.belongings import Belongings, belongings, namesakes

DOMAINS = ("development", "production")


def created(prefix: str = "s3://b/metadata/p-d-n") -> facts.ExecutionCreated:
    return facts.ExecutionCreated(
        config=facts.ResolvedConfig(metadata_prefix=prefix, raw_output_prefix="s3://b/data"),
        closure=DataRef(uri="s3://b/closures/c"),
        inputs=DataRef(uri="s3://b/inputs/i"),
        user_inputs=DataRef(uri="s3://b/inputs/u"),
    )


def test_its_data_and_inputs_are_its_own_and_compiled_workflows_are_not() -> None:
    first = created()
    first.recovery.uri = "s3://b/plans/r"
    found = belongings(
        [
            first,
            facts.AttemptScheduled(node_id="n0", raw_output_prefix="s3://b/data/xy/n-n0-0/"),
            facts.AttemptScheduled(node_id="n0", attempt=1, raw_output_prefix="s3://b/data/zz/n-n0-1"),
            facts.NodeSucceeded(node_id="n0", outputs=DataRef(uri="s3://b/metadata/of-another/outputs.pb")),
        ]
    )
    assert found.folders == {"s3://b/metadata/p-d-n", "s3://b/data/xy/n-n0-0", "s3://b/data/zz/n-n0-1"}
    assert found.objects == {"s3://b/inputs/i", "s3://b/inputs/u", "s3://b/plans/r"}


def test_places_that_are_no_object_stores_and_whole_buckets_are_left_alone() -> None:
    for place in ("", "/tmp/data", "file:///tmp/data", "gs://b/data", "s3://", "s3://b", "s3://b/"):
        found = belongings([created(place), facts.AttemptScheduled(raw_output_prefix=place)])
        assert found.folders == set(), place


def test_what_is_others_too_is_not_its_own() -> None:
    own = Belongings({"s3://b/a", "s3://b/b"}, {"s3://b/c", "s3://b/d"})
    assert own.without(Belongings({"s3://b/b"}, {"s3://b/d"})) == Belongings({"s3://b/a"}, {"s3://b/c"})


def test_of_a_deleted_one_nothing_is_known() -> None:
    assert belongings([facts.ExecutionDeleted(reason="a test")]) == Belongings()


def test_names_with_dashes_may_make_the_same_folder() -> None:
    assert namesakes(("p", "development", "run"), DOMAINS) == []
    assert namesakes(("p", "development", "a-production-b"), DOMAINS) == [("p-development-a", "production", "b")]
    assert namesakes(("p", "development", "development-b"), DOMAINS) == [("p-development", "development", "b")]
    assert namesakes(("p-development-a", "production", "b"), DOMAINS) == [("p", "development", "a-production-b")]
