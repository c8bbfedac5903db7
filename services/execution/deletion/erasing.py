"""What becomes of a deleted execution: a durable reaction to ExecutionDeleted that erases all the rest of it.

It waits until every other durable consumer has dealt with the execution's last envelopes: who is to be told of its end,
or has to look into its history once more, does so before. Every step may be done again, and is when this dies on the
way: first the data, for which the history is needed, then the history, from its end to its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from google.protobuf.message import Message
from prometheus_client import Counter

from flightlog_blobs import BlobError, BlobMissing, BlobRefused, BlobStore
from flightlog_log import Log, LogUnavailable, Recorded, Subject, encode_token
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from services.execution import subjects
from services.execution.deletion.belongings import belongings, namesakes
from services.execution.subjects import ExecutionKey

DURABLE = "deletion-execution"
"""Consumers with such a name wait for all others, and for none of their own kind."""
_KIND = "deletion-"
_AT_ONCE = 8
_DELETES_AT_ONCE = 32
_LOOK_SECONDS = 0.5
_log = structlog.get_logger(__name__)
_erased = Counter("flightlog_executions_erased_total", "Deleted executions of which nothing is left but that they were")
_messages = Counter("flightlog_erased_messages_total", "Messages on the log that were erased with their executions")


class Erasing:
    """Erases what is deleted.

    Args:
        domains: of the installation.
        longest_wait: for consumers that are not there; then it is erased all the same.
    """

    def __init__(
        self,
        log: Log,
        blobs: BlobStore,
        domains: Sequence[str],
        longest_wait: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._blobs = blobs
        self._domains = domains
        self._longest_wait = longest_wait
        self._clock = clock
        self._looking = asyncio.Lock()
        self._seen_at = 0.0
        self._seen: dict[tuple[str, int], list[str]] = {}

    async def run(self) -> None:
        """Erase until cancelled."""
        facts = frozenset({ExecutionDeleted.DESCRIPTOR.name})
        await self._log.consume(subjects.EXECUTION, DURABLE, self.take, facts=facts, max_in_flight=_AT_ONCE)

    async def take(self, recorded: Recorded) -> None:
        """Erase everything of one execution but this envelope.

        Raises `LogUnavailable` as long as others need it, or while the object store cannot be reached: it comes again.
        """
        await self._await_others(recorded)
        key = _key(recorded.subject)
        try:
            await self._erase_data(key, recorded)
        except BlobError as error:
            raise LogUnavailable(f"data of execution {'/'.join(key)}: {error}") from error
        await self._log.erase_kept(subjects.ORDER, *key)
        told = subjects.told_of(key)
        count = sum([await self._log.erase(subject) for subject in told])
        count += await self._log.erase(recorded.subject, before=recorded.sequence)
        count += await self._log.erase_parked([recorded.subject, *told])
        _messages.inc(count)
        _erased.inc()
        _log.info("execution.erased", execution="/".join(key), messages=count)

    async def _await_others(self, recorded: Recorded) -> None:
        if self._clock() - recorded.recorded_at > self._longest_wait:
            return
        # Who asked for it may not have heard yet what became of that.
        answered = await self._log.last_sequence(subjects.answer(_key(recorded.subject)))
        for stream, sequence in ((subjects.EXECUTION, recorded.sequence), (subjects.ADMISSION, answered)):
            behind = [name for name in await self._behind(stream, sequence) if not name.startswith(_KIND)]
            if behind:
                raise LogUnavailable(f"{recorded.subject} is still needed by {', '.join(behind)}")

    async def _behind(self, stream: str, sequence: int) -> list[str]:
        """Consumers that are behind; asked for at most every half second, however many executions go at once."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._seen_at > _LOOK_SECONDS:
                self._seen, self._seen_at = {}, now
            if sequence and (stream, sequence) not in self._seen:
                self._seen[stream, sequence] = await self._log.consumers_behind(stream, sequence)
            return self._seen.get((stream, sequence), [])

    async def _erase_data(self, key: ExecutionKey, recorded: Recorded) -> None:
        own = belongings(key, await self._history(recorded.subject))
        if not own.folders and not own.objects:
            return
        for other in await self._others(key, recorded.subject):
            history = await self._history(other)
            # One that is deleted too needs nothing, and may wait for this one as this one would for it.
            if history and not isinstance(history[-1], ExecutionDeleted):
                own = own.without(belongings(_key(other), history))
        await self._delete(sorted(own.objects))
        for folder in sorted(own.folders):
            try:
                entries = await self._blobs.entries(folder)
                await self._delete([f"{folder}/{entry.name}" for entry in entries])
            except (BlobMissing, BlobRefused) as error:
                # A place that this installation has no right to, or that is gone, is its owner's business.
                _log.warning("data.not_erased", folder=folder, reason=str(error))

    async def _delete(self, uris: Sequence[str]) -> None:
        for start in range(0, len(uris), _DELETES_AT_ONCE):
            await asyncio.gather(*(self._blobs.delete(uri) for uri in uris[start : start + _DELETES_AT_ONCE]))

    async def _history(self, subject: str) -> list[Message]:
        """All that can be read of what an execution was: facts may be gone when this comes again."""
        history: list[Message] = []
        async for raw in self._log.stored(subject):
            found = await self._log.decoded(raw)
            if isinstance(found, Recorded):
                history += found.facts
            else:
                _log.warning("erasing.unreadable", subject=subject, sequence=raw.sequence, reason=found.reason)
        return history

    async def _others(self, key: ExecutionKey, own: str) -> list[str]:
        """Subjects of executions that may have folders of the same names.

        What tasks write lies below the execution's name alone (`services/execution/engine/attempts.py`).
        """
        pattern = f"execution.*.*.*.{encode_token(key[2])}"
        found = set(await self._log.subjects(subjects.EXECUTION, pattern))
        for other in namesakes(key, self._domains):
            subject = subjects.execution(other)
            if subject is not None and await self._log.last_sequence(subject):
                found.add(str(subject))
        return sorted(found - {own})


def _key(subject: str) -> ExecutionKey:
    project, domain, name = Subject.parse(subject).parts
    return project, domain, name
