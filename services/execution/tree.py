"""Between the executions of one tree: who asks for a place to run, who has one, and who returns it.

Where max_parallelism bounds a tree, the execution at its root has the places (`engine/slots.py`). What one execution
records is told to the other by a command. Telling it again changes nothing, so a message may come any number of times.
"""

from collections.abc import Iterable
from typing import Final

import structlog
from google.protobuf.message import Message

from flightlog_log import Cause
from flightlog_protos.execution.v1.facts_pb2 import SlotAsked, SlotGranted, SlotReturned
from services.execution import subjects
from services.execution.engine import MoveSlots, Refusal, Refused, TakeSlots
from services.execution.shell import Shell
from services.execution.subjects import ExecutionKey

REACTED_TO: Final = (SlotAsked, SlotReturned, SlotGranted)

_log = structlog.get_logger(__name__)


class Tree:
    """Carries places between a root and the executions below it. Raises as `Shell.dispatch`."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def moved(self, key: ExecutionKey, facts: Iterable[Message], cause: Cause) -> None:
        """What an execution decided about places goes to those it concerns."""
        asked: list[tuple[str, int]] = []
        returned: list[tuple[str, int]] = []
        granted: dict[ExecutionKey, list[tuple[str, int]]] = {}
        root: ExecutionKey | None = None
        for fact in facts:
            match fact:
                case SlotAsked():
                    root = subjects.key_of(fact.root)
                    asked.append((fact.node_id, fact.number))
                case SlotReturned():
                    root = subjects.key_of(fact.root)
                    returned.append((fact.node_id, fact.number))
                case SlotGranted():
                    child = subjects.key_of(fact.node.execution_id)
                    granted.setdefault(child, []).append((fact.node.node_id, fact.number))
                case _:
                    pass
        if root is not None:
            await self._tell_root(root, key, MoveSlots(key[2], tuple(asked), tuple(returned)), cause)
        for child, slots in granted.items():
            await self._let_run(child, slots, cause)

    async def _tell_root(self, root: ExecutionKey, key: ExecutionKey, command: MoveSlots, cause: Cause) -> None:
        try:
            await self._shell.dispatch(root, command, cause)
        except Refused as refused:
            if refused.reason is not Refusal.NOT_FOUND:
                raise
            # Nobody counts any more. Too many that run are better than one that waits for ever.
            _log.warning("slots.of_unknown_root", root="/".join(root), execution="/".join(key))
            await self._let_run(key, command.asked, cause)

    async def _let_run(self, key: ExecutionKey, slots: Iterable[tuple[str, int]], cause: Cause) -> None:
        try:
            await self._shell.dispatch(key, TakeSlots(tuple(slots)), cause)
        except Refused as refused:
            if refused.reason is not Refusal.NOT_FOUND:
                raise
            _log.warning("slots.for_unknown_execution", execution="/".join(key))
