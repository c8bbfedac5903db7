"""Writes golden files of facts and histories as they are today; existing files are never touched.

    python -m tests.unit.engine.golden_files

A fact that gets a new field needs a file of its new version; whatever was written once is decoded and folded for ever.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import descriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer
from flightlog_protos.execution.v1 import facts_pb2
from services.execution.engine import AnswerCache
from tests.unit.engine.story import INPUT, Flow, From, Story, literal_map

GOLDEN = Path(__file__).parent / "golden"
# Messages that facts have in them.
_PARTS = frozenset(
    {"ResolvedConfig", "ConcurrencyLimit", "ParentAttempt", "CacheUse", "RecoveryPlan", "RecoverableNode"}
)
FACTS = tuple(
    GetMessageClass(message)
    for message in facts_pb2.DESCRIPTOR.message_types_by_name.values()
    if message.name not in _PARTS
)
_DEPTH = 2


def complete(kind: type[Message], depth: int = _DEPTH) -> Message:
    """A message with every field set; nested ones down to some depth."""
    message = kind()
    for number, field in enumerate(message.DESCRIPTOR.fields, start=1):
        if field.containing_oneof is not None and field != field.containing_oneof.fields[0]:
            continue
        _fill(message, field, number, depth)
    return message


def _fill(message: Message, field: descriptor.FieldDescriptor, number: int, depth: int) -> None:
    value = getattr(message, field.name)
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        if nested.fields_by_name["value"].message_type is None:
            value["key"] = "value"
    elif nested is not None and depth:
        target = value.add() if field.is_repeated else value
        target.SetInParent()
        target.MergeFrom(complete(GetMessageClass(nested), depth - 1))
    elif nested is None:
        scalar = _scalar(field, number)
        if field.is_repeated:
            value.append(scalar)
        else:
            setattr(message, field.name, scalar)


def _scalar(field: descriptor.FieldDescriptor, number: int) -> Any:
    kinds = descriptor.FieldDescriptor
    match field.cpp_type:
        case kinds.CPPTYPE_STRING:
            return b"\x01\x02" if field.type == kinds.TYPE_BYTES else f"{field.name}-{number}"
        case kinds.CPPTYPE_BOOL:
            return True
        case kinds.CPPTYPE_ENUM:
            return field.enum_type.values[-1].number
        case kinds.CPPTYPE_FLOAT | kinds.CPPTYPE_DOUBLE:
            return number + 0.5
        case _:
            return number


def encoded(fact: Message) -> dict[str, Any]:
    binary = fact.SerializeToString(deterministic=True)
    return {
        "type": fact.DESCRIPTOR.full_name,
        "binary": base64.b64encode(binary).decode(),
        "json": MessageToDict(fact, preserving_proto_field_name=True),
    }


def decoded(entry: dict[str, Any]) -> Message:
    name = entry["type"].rpartition(".")[2]
    return getattr(facts_pb2, name).FromString(base64.b64decode(entry["binary"]))


def succeeded() -> Story:
    inner = Flow("inner").echo("e").returns(o0=From("e"))
    story = Story(Flow().sub("n0", inner, {"x": INPUT}).task("n1", {"a": From("n0")}).returns(o0=From("n1")), {"x": 1})
    story.start()
    story.sees("n1", "RUNNING", reason="started")
    story.succeeds("n1", outputs={"o0": 2})
    return story


def retried_and_timed_out() -> Story:
    story = Story(Flow().task("n0", timeout=8, retries=3).task("n1"))
    story.start()
    story.exits("n0", 1)
    story.fire("n0/1/attempt")
    story.sees("n0", "KILLED", 1)
    story.fire("n0/0/node")
    story.sees("n0", "LOST", 2)
    story.sees("n1", "KILLED")
    return story


def failed_after_all() -> Story:
    story = Story(Flow().fails_after().task("n0").task("n1", {"a": From("n0")}).task("n2"))
    story.start()
    story.fails("n0")
    story.succeeds("n2")
    return story


def aborted() -> Story:
    story = Story(Flow().sub("n0", Flow("inner").task("a").task("b")), parallelism=1)
    story.start()
    story.terminate()
    story.sees("n0-0-a", "KILLED")
    return story


def dynamic() -> Story:
    story = Story(Flow().task("n0", {"x": INPUT}, timeout=8, retries=1).returns(o0=From("n0")), {"x": 1})
    story.start()
    story.asks("n0", Flow("asked").task("dn0", {"a": 7}).returns(o0=From("dn0")))
    story.fire("n0/0/attempt")
    story.sees("n0-0-dn0", "KILLED")
    story.asks("n0", Flow("asked").task("dn0", {"a": 8}).returns(o0=From("dn0")), attempt=1)
    story.succeeds("n0-1-dn0", outputs={"o0": 9})
    return story


def cached() -> Story:
    flow = Flow()
    for node_id in ("n0", "n1"):
        flow.task(node_id, {"a": INPUT})
        metadata = flow.tasks[node_id].metadata
        metadata.discoverable, metadata.discovery_version, metadata.cache_serializable = True, "1", True
    story = Story(flow, {"x": 1}, parallelism=1)
    story.start()

    def told(node_id: str, kind: CacheAnswer.Kind) -> None:
        answer = CacheAnswer(kind=kind, key=story.last(facts_pb2.CacheAsked).node.cache.key)
        answer.node.node_id = node_id
        answer.result.outputs.CopyFrom(story.put("s3://bucket/another/run/outputs.pb", literal_map({"o0": 2})))
        story.does(AnswerCache((answer,)))

    for node_id, kind in (
        ("n0", CacheAnswer.NOT_FOUND),
        ("n0", CacheAnswer.AWAITING),
        ("n1", CacheAnswer.NOT_FOUND),
        ("n1", CacheAnswer.RESERVED),
        ("n0", CacheAnswer.FOUND),
    ):
        told(node_id, kind)
    story.succeeds("n1")
    told("n1", CacheAnswer.STORED)
    return story


def mapped() -> Story:
    flow = Flow().map("n0", {"a": INPUT}, retries=1, array={"parallelism": 2, "min_success_ratio": 0.5})
    story = Story(flow.returns(o0=From("n0")), {"x": [1, 2, 3]})
    story.start()
    story.fails("n0-0-n0", recoverable=True)
    story.fails("n0-0-n1")
    story.succeeds("n0-0-n0", 1, outputs={"o0": 2})
    story.succeeds("n0-0-n2", outputs={"o0": 4})
    return story


def handled() -> Story:
    inner = Flow("inner").task("a").task("b").task("fn0", {"err": None}).on_failure()
    flow = Flow().sub("n0", inner).task("fn0", {"x": INPUT, "err": None}, retries=1).on_failure()
    story = Story(flow, {"x": 1})
    story.start()
    story.fails("n0-0-a")
    story.sees("n0-0-b", "KILLED")
    story.succeeds("n0-0-fn0")
    story.fails("fn0", recoverable=True)
    story.fails("fn0", 1, code="USER:Worse")
    return story


def ended_by_force() -> Story:
    def patience(created: facts_pb2.ExecutionCreated) -> None:
        created.config.queueing_budget.seconds = 30

    story = Story(Flow().task("n0", retries=1).task("n1"), change=patience)
    story.start()
    story.fire("n0/0/queue")
    story.sees("n0", "KILLED")
    story.terminate()
    story.terminate(force=True)
    return story


HISTORIES: dict[str, Callable[[], Story]] = {
    "succeeded": succeeded,
    "retried_and_timed_out": retried_and_timed_out,
    "failed_after_all": failed_after_all,
    "aborted": aborted,
    "dynamic": dynamic,
    "cached": cached,
    "mapped": mapped,
    "handled": handled,
    "ended_by_force": ended_by_force,
}


def history(story: Story) -> dict[str, Any]:
    return {"facts": list(map(encoded, story.history)), "phase": story.phase, "nodes": story.phases()}


def latest(name: str) -> Path | None:
    found = sorted(GOLDEN.glob(f"{name}.*.json"), key=lambda path: int(path.suffixes[0][1:]))
    return found[-1] if found else None


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for kind in FACTS:
        newest = latest(kind.DESCRIPTOR.name)
        version = 1 if newest is None else int(newest.suffixes[0][1:]) + 1
        if newest is None or json.loads(newest.read_text()) != encoded(complete(kind)):
            write(f"{kind.DESCRIPTOR.name}.{version}", encoded(complete(kind)))
    for name, tell in HISTORIES.items():
        if latest(f"history-{name}") is None:
            write(f"history-{name}.1", history(tell()))


def write(name: str, content: dict[str, Any]) -> None:
    (GOLDEN / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
