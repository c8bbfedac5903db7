"""A process that folds its share of a log and writes the rows; started by `loading.load`.

It is told what to do by its parent over its standard input, and answers on its standard output, both in frames of
pickled values. It ends with its input: a parent that is gone leaves nobody behind. Log lines go to standard error.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import struct
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from operator import itemgetter
from typing import BinaryIO

import asyncpg
import uvloop

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Log, LogSettings, Raw, Unreadable
from flightlog_read.batches import SESSION
from flightlog_read.copying import copy
from flightlog_read.database import Database, DatabaseSettings, is_unavailable
from flightlog_read.folding import FACTS, Share
from flightlog_read.projection import BulkProjection, ChoosingProjection

HEADER = struct.Struct("<I")
_BLOCK_BYTES = 8 * 1024 * 1024
_NICE = 5
# What is folded at once: enough of an aggregate's envelopes to be worth it, and no more than memory is meant for.
_MOST_MESSAGES = 8000
_MOST_BYTES = 12 * 1024 * 1024
_MOST_BATCHES = 16


@dataclass(frozen=True)
class Target:
    """Tables to be filled: the projection, the schema they are in, and the last sequence that belongs into them."""

    projection: BulkProjection
    schema: str
    until: int


@dataclass(frozen=True)
class Order:
    """What a process is to do."""

    targets: tuple[Target, ...]
    log: LogSettings
    blobs: BlobSettings
    database: DatabaseSettings
    most_bytes: int


@dataclass(frozen=True)
class Read:
    """Everything up to a sequence has been taken in."""

    sequence: int


@dataclass(frozen=True)
class Late:
    """Messages that are to be applied the long way to a target, by its number."""

    target: int
    messages: tuple[Raw, ...]


@dataclass(frozen=True)
class SetAside:
    """A message nothing can be made of."""

    target: int
    sequence: int
    reason: str


@dataclass(frozen=True)
class Failed:
    """The process gives up."""

    reason: str
    unavailable: bool


@dataclass(frozen=True)
class Done:
    """All rows are written."""


Answer = Read | Late | SetAside | Failed | Done
Sent = tuple[str, int, bytes, str]
"""A message as it is sent, with the names of its facts: plain tuples are pickled fast."""
Batch = tuple[int, list[Sent]]
"""The last sequence that was read, and those of the messages up to it that are this process's."""


def frame(value: object) -> bytes:
    """A value with its length in front."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(data)) + data


class _Loader:
    """Folds for all targets, over one connection each."""

    def __init__(self, order: Order, log: Log, answers: BinaryIO) -> None:
        self._targets = order.targets
        self._log = log
        self._answers = answers
        self._shares = [Share.of(target.projection, order.most_bytes) for target in order.targets]
        self._choices = [_choice(target.projection) for target in order.targets]
        self._every = range(len(order.targets))
        self._until = min(target.until for target in order.targets)
        self._all_choose = all(isinstance(target.projection, ChoosingProjection) for target in order.targets)
        self._connections: list[asyncpg.Connection] = []

    async def run(self, order: Order, commands: BinaryIO) -> None:
        """Takes in batches until there are no more."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            reading = ThreadPoolExecutor(1)
            # It may wait for a command for as long as there is none.
            stack.callback(reading.shutdown, wait=False, cancel_futures=True)
            database = await Database.connect(order.database)
            stack.push_async_callback(database.close)
            for target in self._targets:
                name = f"flightlog {target.schema} load"
                connection = await stack.enter_async_context(database.dedicated(name, on_loss=lambda: None))
                await connection.execute(SESSION)
                await connection.execute(f"SET search_path TO {target.schema}")
                self._connections.append(connection)
            coming = loop.run_in_executor(reading, receive, commands)
            ended = False
            while not ended:
                end, messages, ended = await coming
                if not ended:
                    # The next ones are read from the pipe while these are folded.
                    coming = loop.run_in_executor(reading, receive, commands)
                if messages:
                    await self._take(messages)
                if end:
                    self._say(Read(end))
            for number, share in enumerate(self._shares):
                share.end()
                await self._write(number, share)
            self._say(Done())

    async def _take(self, messages: list[Sent]) -> None:
        # One aggregate after the other: what belongs to it is at hand while it is folded.
        messages.sort(key=_by_subject)
        for message in messages:
            raw = _raw(*message)
            wanting: Sequence[int] = self._every
            if raw.sequence > self._until:
                wanting = [number for number in self._every if raw.sequence <= self._targets[number].until]
            if self._all_choose:
                wanting = [number for number in wanting if self._choices[number](raw)]
            if not wanting:
                continue
            recorded = self._log.decoded_at_once(raw) or await self._log.decoded(raw)
            if isinstance(recorded, Unreadable):
                for number in wanting:
                    if self._choices[number](raw):
                        self._say(SetAside(number, raw.sequence, recorded.reason))
                continue
            # What was decoded for one is given to all: to choose is to save decoding, and makes no other rows.
            for number in wanting:
                self._shares[number].take(recorded, raw)
        for number, share in enumerate(self._shares):
            if share.over_bytes >= _BLOCK_BYTES or share.late:
                await self._write(number, share)

    async def _write(self, number: int, share: Share) -> None:
        refused = await copy(self._connections[number], self._targets[number].projection.copied, share.take_over())
        late, share.late = [*refused, *share.late], []
        if late:
            self._say(Late(number, tuple(late)))

    def _say(self, answer: Answer) -> None:
        self._answers.write(frame(answer))
        self._answers.flush()


def _choice(projection: BulkProjection) -> Callable[[Raw], bool]:
    """Whether a message may become a row."""
    return projection.looks_at if isinstance(projection, ChoosingProjection) else lambda _: True


_by_subject = itemgetter(0)


def _raw(subject: str, sequence: int, data: bytes, facts: str) -> Raw:
    """As the log has it, without its other headers."""
    return Raw(subject, sequence, data, {FACTS: facts})


def receive(commands: BinaryIO) -> tuple[int, list[Sent], bool]:
    """The next batches as one, and whether there are no more. Ends the process when the parent is gone."""
    end, messages, size = 0, list[Sent](), 0
    for _ in range(_MOST_BATCHES):
        header = commands.read(HEADER.size)
        data = commands.read(HEADER.unpack(header)[0]) if len(header) == HEADER.size else b""
        if not data:
            os._exit(1)
        batch: Batch | None = pickle.loads(data)
        if batch is None:
            return end, messages, True
        end = batch[0]
        messages += batch[1]
        size += len(data)
        if len(messages) >= _MOST_MESSAGES or size >= _MOST_BYTES:
            break
    return end, messages, False


async def _run(order: Order, commands: BinaryIO, answers: BinaryIO) -> None:
    blobs = BlobStore.open(order.blobs)
    try:
        log = await Log.connect(order.log, blobs, name="flightlog-load")
        try:
            await _Loader(order, log, answers).run(order, commands)
        finally:
            await log.close()
    except Exception as error:  # noqa: BLE001  # the edge of the process: its parent is told
        unavailable = is_unavailable(error)
        answers.write(frame(Failed(f"{type(error).__name__}: {error}", unavailable)))
        answers.flush()
    finally:
        await blobs.close()


def main() -> None:
    """Entry of the process."""
    os.nice(_NICE)  # whoever serves meanwhile goes first
    commands = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    header = commands.read(HEADER.size)
    if len(header) < HEADER.size:
        sys.exit(1)
    order: Order = pickle.loads(commands.read(HEADER.unpack(header)[0]))
    # Nothing here makes cycles, and looking for them among all the rows costs a fifth of the time.
    gc.disable()
    uvloop.run(_run(order, commands, answers))
    sys.stdout.flush()
    answers.flush()
    os._exit(0)  # the thread that reads may still wait for a command
