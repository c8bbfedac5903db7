"""Offloaded literals: values too large for a literal map, in objects of their own (engine-semantics §7.3).

flytekit writes them where it is told from which size on; so does the engine for what it gathers itself. In the map
stands who they are: uri, size, type and a hash. They flow through bindings as they are, and are read only where the
engine must look into them. Tasks of an SDK that cannot read them are not run.
"""

import base64
import re
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.tasks_pb2 import RuntimeMetadata

from flightlog_types import literal_type_of
from services.execution.engine.commands import Offloading
from services.execution.engine.program import Node
from services.execution.engine.turn import Turn

NOT_SUPPORTED: Final = "LiteralOffloadingNotSupported"
DISABLED: Final = "LiteralOffloadingDisabled"
FIRST_SDK: Final = (1, 13, 14)
"""The first flytekit that reads offloaded literals."""

_RELEASE: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(.*)")
_MIB: Final = 1 << 20
# Runs in the engine, and passes on what it gets.
_ECHO: Final = "echo"


class LiteralTooLarge(Exception):
    """A literal is larger than what may be offloaded."""


def file_name(variable: str) -> str:
    """Name of the object of an output variable, below the output prefix."""
    return f"{variable}_offloaded_metadata.pb"


def offloaded(turn: Turn, uri: str, literal: Literal) -> Literal:
    """The literal, or when it is large enough, what stands for it after it was written to `uri`.

    Raises:
        LiteralTooLarge: it is larger than the largest that may be offloaded.
    """
    offloading = turn.settings.offloading
    size = literal.ByteSize()
    if offloading is None or size < offloading.min_mib * _MIB or literal.HasField("offloaded_metadata"):
        return literal
    if size >= offloading.max_mib * _MIB:
        raise LiteralTooLarge(f"a literal of {size} bytes is not below the largest size, {offloading.max_mib} MiB")
    reference = turn.write_literal(uri, literal)
    # A hash makes the same content the same input for the cache, wherever it lies.
    standing = Literal(hash=literal.hash or base64.b64encode(reference.sha256).decode())
    standing.metadata.update(literal.metadata)
    standing.offloaded_metadata.uri = uri
    standing.offloaded_metadata.size_bytes = size
    standing.offloaded_metadata.inferred_type.CopyFrom(literal_type_of(literal))
    return standing


def whole(turn: Turn, literal: Literal) -> Literal:
    """The literal itself, where another one stands for it.

    Raises:
        DataMissing: it has to be loaded first.
        DataLost: it cannot be loaded.
    """
    return turn.literal(literal.offloaded_metadata.uri) if literal.HasField("offloaded_metadata") else literal


def refusal(offloading: Offloading | None, node: Node, inputs: LiteralMap) -> ExecutionError | None:
    """Why a node's task, or the one of an array node's elements, cannot be run with these inputs; None when it can."""
    task = node.array.element.task if node.array is not None else node.task
    if (
        task is None
        or task.type == _ECHO
        or not any(literal.HasField("offloaded_metadata") for literal in inputs.literals.values())
    ):
        return None
    runtime = task.template.metadata.runtime
    if runtime.type == RuntimeMetadata.FLYTE_SDK and _reads_offloaded(runtime.version):
        return None
    if offloading is None:
        code, message = DISABLED, f"task [{task.id.name}] gets offloaded literals, but offloading is not enabled"
    else:
        least = ".".join(map(str, FIRST_SDK))
        code, message = (
            NOT_SUPPORTED,
            f"task [{task.id.name}] gets offloaded literals, which it cannot read: it was registered by an SDK of "
            f"version [{runtime.version}], and flytekit reads them from [{least}] on",
        )
    return ExecutionError(code=code, message=message, kind=ExecutionError.USER)


def _reads_offloaded(version: str) -> bool:
    release = _RELEASE.match(version)
    # Builds without a release's number (`dev`, `0.0.0+develop`) are newer than all releases.
    if release is None or version.startswith("0.0.0"):
        return True
    numbers = (int(release[1]), int(release[2]), int(release[3]))
    return numbers > FIRST_SDK or (numbers == FIRST_SDK and not _is_before(release[4]))


def _is_before(suffix: str) -> bool:
    """Whether what follows a release's number makes it one that came before: `b1`, `rc0`, `-alpha`, `.dev3`."""
    return re.match(r"[-.]?(a|b|rc|dev|alpha|beta)", suffix) is not None
