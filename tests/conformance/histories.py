"""Golden histories: what the log has of the suite's executions, made into files that the unit tests decide again.

    python -m tests.conformance.histories [pytest arguments]

runs the suite against a stack of its own and, if it passes, writes tests/unit/engine/histories/ anew. For every
decision on the log the command is found from what the envelope says of its cause; then it is decided again with what
lies in the object store, and must give the recorded facts, or the history is refused. Names of this machine are
replaced by neutral ones.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure

from flightlog_blobs import BlobStore
from flightlog_cli.access import Access, open_log
from flightlog_log import Log, Subject
from flightlog_protos.execution.v1 import facts_pb2
from services.execution import engine
from services.execution.deciding import engine_settings
from services.execution.history.files.references import references
from services.execution.history.replay.encoding import dumped, loaded
from services.execution.history.replay.looking import Looked, LookingDriver
from services.execution.history.replay.pasts import Past, past_of
from services.execution.history.replay.replaying import Replaying
from services.execution.history.replay.steps import History, Player, Step
from services.execution.lookup import Lookup
from services.execution.settings import ExecutionSettings
from tests.unit.engine.replaying import HISTORIES, write


class NotRedecided(Exception):
    """A decision on the log does not follow from its cause."""


class Historian:
    """Makes histories of the executions on a log."""

    def __init__(self, log: Log, blobs: BlobStore) -> None:
        self._log = log
        self._blobs = blobs
        # Nothing is let go: what decisions looked at is what the history holds.
        self._settings = ExecutionSettings(cached_data_bytes=sys.maxsize, cached_nodes=sys.maxsize)

    async def history(self, past: Past) -> History:
        """The history of one execution. Raises `NotRedecided`."""
        looked = Looked()
        blobs = self._blobs.through(lambda driver: LookingDriver(driver, looked))
        replaying = Replaying(blobs, Lookup(self._log, self._settings.domains), self._settings, looked)
        steps: list[Step] = []
        closures: dict[bytes, CompiledWorkflowClosure] = {}
        async for one in replaying.replay(past):
            if one.command is None or one.differences or one.undecided:
                raise NotRedecided(f"{one.record.subject}\n" + "\n".join(one.lines()))
            steps.append(Step(one.position, one.now, one.command, one.record.facts))
        for ref in references(fact for step in steps for fact in step.facts):
            if ref.sha256 in replaying.decider.programs:
                closures[ref.sha256] = CompiledWorkflowClosure.FromString(await self._blobs.verified(ref))
        created = steps[0].facts[0]
        assert isinstance(created, facts_pb2.ExecutionCreated)
        recovery = None
        if created.HasField("recovery") and created.recovery.uri in looked.read:
            recovery = facts_pb2.RecoveryPlan.FromString(await self._blobs.verified(created.recovery))
        decider = replaying.decider
        return History(
            engine_settings(self._settings),
            tuple(steps),
            closures,
            dict(decider.literals),
            dict(decider.offloaded),
            replaying.lost,
            recovery,
        )


def neutral(history: History, places: Mapping[str, str]) -> History:
    """The same history with other names for places of this machine.

    They are replaced in what the engine was given; what follows from that is decided anew, for a hash of data that
    named a place is another one now.
    """
    text = json.dumps(dumped(history), ensure_ascii=False)
    for place, name in sorted(places.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(place, name)
    given = loaded(json.loads(text))
    player = Player(given)
    state: engine.Execution | None = None
    steps: list[Step] = []
    for step in given.steps:
        decision = player.decide(step, state)
        steps.append(replace(step, facts=decision.facts))
        state = decision.state
    return replace(given, steps=tuple(steps))


async def all_pasts(log: Log) -> list[Past]:
    """The executions on the log, the oldest first."""
    found: list[Past] = []
    for subject in await log.subjects("EXECUTION", ">"):
        project, domain, name = Subject.parse(subject).parts
        past = await past_of(log, (project, domain, name))
        assert past is not None
        found.append(past)
    return sorted(found, key=lambda past: past.records[0].sequence)


async def keep(data: Path, folder: Path) -> list[str]:
    """Writes the histories of all executions of the stack on a data folder that have ended.

    Returns:
        what could not be decided again, in words.
    """
    access = Access.of(data)
    blobs = BlobStore.open(access.blobs)
    places = {
        str(data): "/data",
        sys.prefix: "/python",
        sys.base_prefix: "/usr",
        str(Path(__file__).parents[2]): "/flightlog",
    }
    refused: list[str] = []
    numbers: Counter[str] = Counter()
    try:
        async with open_log(access) as log:
            historian = Historian(log, blobs)
            for past in await all_pasts(log):
                if not engine.fold(fact for record in past.records for fact in record.facts).phase.terminal:
                    continue
                created = past.records[0].facts[0]
                assert isinstance(created, facts_pb2.ExecutionCreated)
                workflow = created.workflow_id.name.lstrip(".")
                numbers[workflow] += 1
                try:
                    history = neutral(await historian.history(past), places)
                except NotRedecided as error:
                    refused.append(str(error))
                    continue
                write(history, folder / f"{workflow}-{numbers[workflow]}.json.gz")
    finally:
        await blobs.close()
    return refused


def main() -> int:
    with tempfile.TemporaryDirectory() as made:
        code = pytest.main([str(Path(__file__).parent), "--keep-histories", made, *sys.argv[1:]])
        if code == 0:
            HISTORIES.mkdir(exist_ok=True)
            for path in HISTORIES.glob("*.json.gz"):
                path.unlink()
            for path in Path(made).iterdir():
                shutil.copy(path, HISTORIES)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
