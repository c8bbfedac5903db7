"""Names made from (execution, node, attempt) alone, so that a redelivered decision always arrives at the same name.

Rules and check vectors: engine-semantics §3.4 (shards) and §3.6 (names), k8s-contract §1.1.
"""

from typing import Final

from flightlog_types.short_names import fitted, fnv32a, hashed, hashed_long

NODE_ID_LIMIT: Final = 20
GENERATED_NAME_LIMIT: Final = 50
CHILD_EXECUTION_LIMIT: Final = 20

_SHARD_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_SHARDS: Final = len(_SHARD_ALPHABET) ** 2


def unique_node_id(parent_id: str, parent_attempt: int, spec_node_id: str) -> str:
    """Id of a node inside its execution: at top level its own id, below that at most 20 characters."""
    if not parent_id:
        return spec_node_id
    return fitted(f"{parent_id}-{parent_attempt}-{spec_node_id}", NODE_ID_LIMIT)


def element_id(array_id: str, array_attempt: int, spec_node_id: str) -> str:
    """Id of an array's element inside its execution. However many elements an array has, no two share one."""
    name = f"{array_id}-{array_attempt}-{spec_node_id}"
    if len(name) <= NODE_ID_LIMIT:
        return name
    return f"{hashed(f'{array_id}-{array_attempt}')}-{spec_node_id}"


def generated_name(execution: str, node_id: str, attempt: int) -> str:
    """Name of an attempt's pod or process; at most 50 characters, of which the node's id takes no more than 20."""
    return fitted(f"{execution}-{fitted(node_id, NODE_ID_LIMIT)}-{attempt}", GENERATED_NAME_LIMIT)


def child_execution_name(execution: str, node_id: str, attempt: int) -> str:
    """Name of the execution that a launch-plan node starts; at most 20 characters."""
    name = f"{execution}-{node_id}-{attempt}"
    return name if len(name) <= CHILD_EXECUTION_LIMIT else hashed_long(name)


def shard(name: str) -> str:
    """The two characters that spread raw outputs over the object store's key space."""
    high, low = divmod(fnv32a(name) % _SHARDS, len(_SHARD_ALPHABET))
    return _SHARD_ALPHABET[high] + _SHARD_ALPHABET[low]
