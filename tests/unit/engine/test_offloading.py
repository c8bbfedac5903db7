"""Offloaded literals: passed on, looked into, made, and refused for tasks that cannot read them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core import literals_pb2, types_pb2
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from services.execution.engine.offloading import LiteralTooLarge, file_name, offloaded, whole
from services.execution.engine.turn import DataLost, Turn
from tests.unit.engine.story import Flow, From, Story, literal, plain

SMALL = engine.Offloading(min_mib=1, max_mib=3)
ON = engine.EngineSettings(retry_backoff_base=timedelta(), offloading=SMALL)
URI = "s3://bucket/somewhere/o0_offloaded_metadata.pb"
MIB = 1 << 20


def standing(uri: str = URI, hash_: str = "h") -> literals_pb2.Literal:
    """What stands for an offloaded literal."""
    metadata = literals_pb2.LiteralOffloadedMetadata(uri=uri, size_bytes=MIB)
    metadata.inferred_type.collection_type.simple = types_pb2.INTEGER
    return literals_pb2.Literal(offloaded_metadata=metadata, hash=hash_)


def consumer(source: Any, version: str = "1.16.0", runtime: int = 1, **task: Any) -> Flow:
    flow = Flow().task("a").task("b", {"x": source}, **task).returns(y=source)
    flow.tasks["b"].metadata.runtime.type = runtime  # type: ignore[assignment]
    flow.tasks["b"].metadata.runtime.version = version
    return flow


def inputs_of(story: Story, node: str) -> literals_pb2.LiteralMap:
    queued = next(fact for fact in story.history if isinstance(fact, facts.NodeQueued) and fact.node_id == node)
    return literals_pb2.LiteralMap.FromString(story.blobs[queued.inputs.uri])


def test_offloaded_literal_is_passed_on_as_it_is() -> None:
    story = Story(consumer(From("a")), settings=ON)
    story.start()
    assert "AttemptScheduled b#0" in story.succeeds("a", outputs={"o0": standing()})
    assert inputs_of(story, "b").literals["x"] == standing()


@pytest.mark.parametrize("settings", [ON, engine.EngineSettings()])
def test_attributes_are_taken_of_the_value_that_lies_elsewhere(settings: engine.EngineSettings) -> None:
    story = Story(consumer(From("a", path=("k", 1))), settings=settings)
    story.start()
    story.blobs[URI] = literal({"k": [7, 8]}).SerializeToString()
    story.succeeds("a", outputs={"o0": standing()})
    assert plain(inputs_of(story, "b").literals["x"]) == 8


def test_an_offloaded_value_may_lie_within_another() -> None:
    inner = "s3://bucket/inner"
    story = Story(consumer(From("a", path=(0, 1))))
    story.start()
    story.blobs[URI] = literal([standing(inner)]).SerializeToString()
    story.blobs[inner] = literal([1, 2]).SerializeToString()
    story.succeeds("a", outputs={"o0": standing()})
    assert plain(inputs_of(story, "b").literals["x"]) == 2


def test_element_of_an_offloaded_collection_is_taken_by_index() -> None:
    story = Story(consumer(From("a", "[1].o0")))
    story.start()
    story.blobs[URI] = literal(["p", "q"]).SerializeToString()
    story.succeeds("a", outputs={"o0": standing()})
    assert plain(inputs_of(story, "b").literals["x"]) == "q"


def test_offloaded_value_that_is_lost_ends_the_execution() -> None:
    story = Story(consumer(From("a", path=(0,))))
    story.start()
    story.lost[URI] = "it does not exist"
    story.succeeds("a", outputs={"o0": standing()})
    assert story.error().code == "BindingResolutionFailure"
    assert f"[{URI}] cannot be read: it does not exist" in story.error().message


@pytest.mark.parametrize("version", ["1.13.14", "1.13.15b2", "1.14.0", "1.16.0", "v2.0.0", "0.0.0+develop", "dev"])
def test_sdk_that_reads_offloaded_literals_gets_them(version: str) -> None:
    story = Story(consumer(From("a"), version), settings=ON)
    story.start()
    assert "AttemptScheduled b#0" in story.succeeds("a", outputs={"o0": standing()})


@pytest.mark.parametrize(
    ("version", "runtime"), [("1.13.13", 1), ("1.13.14b1", 1), ("1.2.30", 1), ("1.16.0", 0)], ids=str
)
@pytest.mark.parametrize(
    ("settings", "code"),
    [(ON, "LiteralOffloadingNotSupported"), (engine.EngineSettings(), "LiteralOffloadingDisabled")],
)
def test_task_that_cannot_read_offloaded_literals_fails(
    version: str, runtime: int, settings: engine.EngineSettings, code: str
) -> None:
    story = Story(consumer(From("a"), version, runtime, retries=3), settings=settings)
    story.start()
    decided = story.succeeds("a", outputs={"o0": standing()})
    assert "NodeQueued b" in decided
    assert f"NodeFailed b {code}" in decided
    assert not any(line.startswith("AttemptScheduled") for line in decided)
    assert story.error().code == code
    assert story.error().kind == ExecutionError.USER


def test_echo_passes_offloaded_literals_on() -> None:
    flow = Flow().task("a").echo("e", From("a")).returns(y=From("e", "a"))
    flow.tasks["e"].interface.outputs.CopyFrom(flow.tasks["e"].interface.inputs)
    story = Story(flow, settings=ON)
    story.start()
    assert "NodeSucceeded e" in story.succeeds("a", outputs={"o0": standing()})


def test_tasks_are_told_from_which_size_on_to_offload() -> None:
    def envs(story: Story) -> dict[str, str]:
        story.start()
        return dict(story.last(facts.AttemptScheduled).envs)

    def own(created: facts.ExecutionCreated) -> None:
        created.config.envs["_F_L_MAX_SIZE_MB"] = "5"

    flow = Flow().task("a")
    assert envs(Story(flow)) == {}
    assert envs(Story(flow, settings=ON)) == {"_F_L_MIN_SIZE_MB": "1", "_F_L_MAX_SIZE_MB": "3"}
    assert envs(Story(flow, settings=ON, change=own)) == {"_F_L_MIN_SIZE_MB": "1", "_F_L_MAX_SIZE_MB": "5"}


# ---------------------------------------------------------------------------------------------------- making them


def turn(settings: engine.EngineSettings = ON) -> Turn:
    story = Story(Flow().task("a"))
    assert story.state is not None
    return Turn(story.state, engine.Context(story.now, story.program, settings=settings))


def text(size: int) -> literals_pb2.Literal:
    """A string literal of so many bytes as a message."""
    made = literal("x" * size)
    return literal("x" * (size - (made.ByteSize() - size)))


def test_small_literal_stays_where_it_is() -> None:
    made = turn()
    small = text(MIB - 1)
    assert offloaded(made, URI, small) is small
    assert made.decision().blobs == ()


def test_nothing_is_offloaded_where_it_is_switched_off() -> None:
    large = text(2 * MIB)
    assert offloaded(turn(engine.EngineSettings()), URI, large) is large


def test_large_literal_is_written_and_stood_for() -> None:
    made = turn()
    large = literal(["x" * MIB])
    stands = offloaded(made, URI, large)
    metadata = stands.offloaded_metadata
    assert (metadata.uri, metadata.size_bytes) == (URI, large.ByteSize())
    assert metadata.inferred_type.collection_type.simple == types_pb2.STRING
    (blob,) = made.decision().blobs
    assert literals_pb2.Literal.FromString(blob.data) == large
    assert whole(made, stands) == large
    assert offloaded(made, URI, stands) is stands


def test_same_content_has_the_same_hash_wherever_it_lies() -> None:
    first, second, other = (
        offloaded(turn(), f"s3://bucket/{name}", value)
        for name, value in (("1", text(MIB)), ("2", text(MIB)), ("3", text(MIB + 1)))
    )
    assert first.hash == second.hash != other.hash


def test_hash_that_a_literal_has_is_kept() -> None:
    large = text(MIB)
    large.hash = "mine"
    assert offloaded(turn(), URI, large).hash == "mine"


def test_too_large_is_too_large() -> None:
    with pytest.raises(LiteralTooLarge, match="3 MiB"):
        offloaded(turn(), URI, text(3 * MIB))


def test_lost_literal_is_not_asked_for_again() -> None:
    story = Story(Flow().task("a"))
    assert story.state is not None
    context = engine.Context(story.now, story.program, lost={URI: "gone"})
    with pytest.raises(DataLost, match="gone"):
        whole(Turn(story.state, context), standing())


def test_object_is_named_as_flytekit_names_its_own() -> None:
    assert file_name("o0") == "o0_offloaded_metadata.pb"
