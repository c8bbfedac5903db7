"""Cache keys: under which dataset and tag a task's result is kept (engine-semantics §4.2).

Two runs share a result when their tasks have the same project, domain, name, cache version and interface, and their
inputs are equal. The task's own version does not count.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from flyteidl.core.identifier_pb2 import DATASET, LAUNCH_PLAN, WORKFLOW, Identifier
from flyteidl.core.interface_pb2 import TypedInterface, VariableMap
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import LiteralType

from flightlog_types.object_hash import composed, encoded, object_hash

_INTERFACE_HASH_LENGTH: Final = 8
# Types whose annotation has this key keep it: it was made to tell cached results apart.
_CACHE_ANNOTATION: Final = "cache-key-metadata"


OWN_PREFIXES: Final = {WORKFLOW: "flightlog_workflow", LAUNCH_PLAN: "flightlog_launch_plan"}
"""How names of datasets begin that are of no task: Flyte has no keys for these."""
_TASK_PREFIX: Final = "flyte_task"


def dataset(entity: Identifier, interface: TypedInterface, cache_version: str) -> Identifier:
    """The dataset of what a task, workflow or launch plan gives: project and domain are its own, wherever it runs."""
    version = f"{cache_version.strip(' ')}-{_signature(interface.SerializeToString(deterministic=True))}"
    return Identifier(
        resource_type=DATASET,
        project=entity.project,
        domain=entity.domain,
        name=f"{OWN_PREFIXES.get(entity.resource_type, _TASK_PREFIX)}-{entity.name}",
        version=version,
    )


def entity_name(dataset_name: str) -> str:
    """The task, workflow or launch plan that a dataset is of, by its name; a client's own dataset has its own."""
    for prefix in (_TASK_PREFIX, *OWN_PREFIXES.values()):
        if dataset_name.startswith(f"{prefix}-"):
            return dataset_name[len(prefix) + 1 :]
    return dataset_name


def tag(inputs: LiteralMap, ignored: Collection[str] = ()) -> str:
    """The tag of the result for these inputs.

    Args:
        inputs: what the task is given.
        ignored: names of inputs that do not count (`cache_ignore_input_vars`).

    Raises:
        ValueError: the inputs hold a value that has no hash.
    """
    return tag_of(input_digests(inputs, ignored))


def input_digests(inputs: LiteralMap, ignored: Collection[str] = ()) -> dict[str, bytes]:
    """The hashes (32 bytes each) of the inputs that count, by name: what a tag is made of.

    Args:
        inputs: what the task is given.
        ignored: names of inputs that do not count.

    Raises:
        ValueError: the inputs hold a value that has no hash.
    """
    digests: dict[str, bytes] = {}
    for name in sorted(inputs.literals):
        if name not in ignored:
            counted = Literal()
            _content(inputs.literals[name], counted)
            digests[name] = object_hash(counted)
    return digests


def tag_of(digests: Mapping[str, bytes]) -> str:
    """The tag of the result for inputs with these hashes."""
    # As the hash of a LiteralMap, whose only field is left out of its JSON form when it is empty.
    digest = composed({"literals": composed(digests)} if digests else {})
    return f"flyte_cached-{encoded(digest)}"


@lru_cache(maxsize=1024)
def _signature(interface: bytes) -> str:
    """Hashes of the interface's inputs and outputs: a run of ten thousand elements asks for the same one each time."""
    parsed = TypedInterface.FromString(interface)
    return "-".join(
        encoded(object_hash(_types(variables)))[:_INTERFACE_HASH_LENGTH]
        for variables in (parsed.inputs, parsed.outputs)
    )


def _types(variables: VariableMap) -> VariableMap:
    """Names and types of variables: what was said about them for readers is left out."""
    for variable in variables.variables.values():
        variable.description = ""
        if variable.HasField("type"):
            _bare(variable.type)
    return variables


def _bare(literal_type: LiteralType) -> None:
    literal_type.ClearField("metadata")
    annotated = literal_type.annotation.annotations.fields
    if _CACHE_ANNOTATION not in annotated:
        literal_type.ClearField("annotation")
    # Asking for a message field that is not set would set nothing, but a map entry that is asked for comes to be.
    for name in list(literal_type.structure.dataclass_type):
        _bare(literal_type.structure.dataclass_type[name])
    match literal_type.WhichOneof("type"):
        case "union_type":
            for variant in literal_type.union_type.variants:
                _bare(variant)
        case "map_value_type":
            _bare(literal_type.map_value_type)
        case "collection_type":
            _bare(literal_type.collection_type)
        case "structured_dataset_type":
            for column in literal_type.structured_dataset_type.columns:
                if column.HasField("literal_type"):
                    _bare(column.literal_type)
        case _:
            pass


def _content(literal: Literal, counted: Literal) -> None:
    """What of a literal counts: only its hash where its author gave one."""
    if literal.hash:
        counted.hash = literal.hash
        return
    match literal.WhichOneof("value"):
        case "collection":
            counted.collection.SetInParent()
            for item in literal.collection.literals:
                _content(item, counted.collection.literals.add())
        case "map":
            counted.map.SetInParent()
            for name, item in literal.map.literals.items():
                _content(item, counted.map.literals[name])
        case _:
            counted.CopyFrom(literal)
