"""The attempts' records on disk: what was ordered, who runs it, how it ended. The truth a launcher starts from.

<data>/attempts/<project>/<domain>/<execution>/<node>/<attempt>/
    order.json     what was ordered, and which event ordered it
    abort.json     its end was ordered
    claim.json     who runs it, made once (`shepherd.claim`); without processes it is a tombstone: nobody ever will
    exit.json      how its process ended, written by the shepherd
    stdout stderr  what it printed
<data>/work/<short name>/      working directory, removed at the end
<data>/open/<short name>       link to the attempt's directory; there until its end is reported

Whatever is written is flushed to disk before the order is acknowledged. Blocking, hence called in a thread.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from services.k8s_launcher.process import shepherd
from services.k8s_launcher.runtime import AttemptKey, Origin, Scheduled

_ORDER = "order.json"
_ABORT = "abort.json"


@dataclass(frozen=True)
class Claim:
    """Who runs an attempt. `shepherd` is 0 in a tombstone."""

    shepherd: int
    shepherd_start: int
    task: int
    task_start: int
    boot: str
    started_at: float
    held: dict[str, Any]

    @property
    def is_tombstone(self) -> bool:
        return self.shepherd == 0


@dataclass(frozen=True)
class Ended:
    """How an attempt's process ended; `code` is 128 + signal when a signal ended it. Times in seconds."""

    code: int
    signal: int
    out_of_memory: bool
    peak_memory_bytes: int
    cpu_seconds: float
    wall_seconds: float
    ended_at: float


@dataclass(frozen=True)
class Aborting:
    """An ordered end, and which event ordered it."""

    reason: str
    origin: Origin


class Record:
    """One attempt's directory."""

    def __init__(self, data: Path, key: AttemptKey) -> None:
        self.key = key
        parts = (key.project, key.domain, key.execution, key.node_id, str(key.attempt))
        self.directory = data.joinpath("attempts", *map(_file_name, parts))
        self.short_name = sha256("/".join(parts).encode()).hexdigest()[:16]
        self.work = data / "work" / self.short_name
        # Sockets are made in here, and their paths may not be long. Other data folders have attempts of the same name.
        place = sha256(f"{data.absolute()}/{self.short_name}".encode()).hexdigest()[:16]
        self.temporary = Path(tempfile.gettempdir()) / f"flightlog-{place}"
        self._open = data / "open" / self.short_name

    @property
    def stdout(self) -> Path:
        return self.directory / "stdout"

    @property
    def stderr(self) -> Path:
        return self.directory / "stderr"

    def order(self, scheduled: Scheduled) -> bool:
        """Keep an order. False when the attempt is known already, running, ended or never to be started."""
        if (self.directory / _ORDER).exists() or self.claim() is not None:
            return False
        self._keep_order(scheduled)
        return True

    def order_lost(self, scheduled: Scheduled) -> bool:
        """Keep the order of an attempt that ran where we know nothing of. It is never started; False when known."""
        if (self.directory / _ORDER).exists():
            return False
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.bury()
        self._keep_order(scheduled)
        return True

    def order_abort(self, reason: str, origin: Origin) -> bool:
        """Keep the order to end the attempt; the first one counts. False when its end is known and reported."""
        known = (self.directory / _ORDER).exists() or (self.directory / _ABORT).exists()
        if known and not self._open.exists():
            return False
        if self.aborting() is None:
            self._write(_ABORT, {"key": asdict(self.key), "origin": asdict(origin), "reason": reason})
        return True

    def bury(self) -> bool:
        """Make sure that the attempt never starts. False when somebody runs it or ran it."""
        nobody = Claim(0, 0, 0, 0, shepherd.boot_id(), 0.0, {})
        return shepherd.claim(str(self.directory), asdict(nobody))

    def scheduled(self) -> Scheduled | None:
        content = _read(self.directory / _ORDER)
        if content is None:
            return None
        return Scheduled(AttemptScheduled.FromString(base64.b64decode(content["fact"])), Origin(**content["origin"]))

    def aborting(self) -> Aborting | None:
        content = _read(self.directory / _ABORT)
        return Aborting(content["reason"], Origin(**content["origin"])) if content is not None else None

    def claim(self) -> Claim | None:
        content = _read(self.directory / shepherd.CLAIM)
        return Claim(**content) if content is not None else None

    def ended(self) -> Ended | None:
        content = _read(self.directory / shepherd.EXIT)
        return Ended(**content) if content is not None else None

    def make_work(self) -> None:
        """The working directory and the folder for temporary files.

        What is there already is left alone: an order that an earlier launcher gave may just be starting in them.
        """
        for folder in (self.work, self.temporary):
            try:
                folder.mkdir(parents=True, mode=0o700)
            except FileExistsError:
                # Its name is easily guessed, and everybody may write to the folder it is in.
                found = folder.lstat()
                if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                    raise

    def close(self, *, keep_work: bool) -> None:
        """The end is reported: nothing is owed any more. What was printed stays."""
        if not keep_work:
            shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._open.unlink(missing_ok=True)

    def _keep_order(self, scheduled: Scheduled) -> None:
        fact = base64.b64encode(scheduled.fact.SerializeToString()).decode()
        self._write(_ORDER, {"key": asdict(self.key), "origin": asdict(scheduled.origin), "fact": fact})

    def _write(self, name: str, content: dict[str, Any]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made before the file is flushed: that flush commits the link and the new directories with it.
        with contextlib.suppress(FileExistsError):
            # Relative, because the data folder may be moved.
            self._open.symlink_to(os.path.relpath(self.directory, self._open.parent))
        partial = self.directory / f".{name}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, json.dumps(content).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.rename(self.directory / name)
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def open_records(data: Path) -> Iterator[Record]:
    """The attempts whose end is not reported yet, oldest order first."""
    folder = data / "open"
    if not folder.is_dir():
        return
    for marker in sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime_ns):
        content = _read(marker / _ORDER) or _read(marker / _ABORT)
        if content is None:
            marker.unlink()  # the order was never acknowledged, so it comes again
            continue
        yield Record(data, AttemptKey(**content["key"]))


def attempt_directories(data: Path) -> Iterator[Path]:
    """Directories of the attempts whose end is reported."""
    claimed = [claim.parent for claim in (data / "attempts").glob(f"*/*/*/*/*/{shepherd.CLAIM}")]
    # In this order: what was begun after the first look is not in `claimed`, what ended meanwhile is not open.
    still_open = {marker.resolve() for marker in (data / "open").glob("*")}
    for directory in claimed:
        if directory.resolve() not in still_open:
            yield directory


def _file_name(part: str) -> str:
    """A name for a directory, different for different parts, whatever characters they hold."""
    name = quote(part, safe="") or "%"
    if name.strip(".") and len(name) <= 200:
        return name
    return name[:150].replace(".", "%2E") + "%" + sha256(part.encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
