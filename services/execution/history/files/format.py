"""The file of an exported history: gzipped lines of JSON. Pure.

`zcat file | jq` shows it. The first line says what it is; then come envelopes, byte for byte, in the order of their
subjects and positions, and then objects, in the order of their addresses; the last line holds the hash of all before
it. Equal histories make equal files. `docs/history-api.md` has the fields.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, cast

FORMAT: Final = 1
EXECUTION: Final = "execution"
CAUSE: Final = "cause"
REGISTERED: Final = "registered"
_ROLES: Final = frozenset({EXECUTION, CAUSE, REGISTERED})
_GZIP: Final = zlib.MAX_WBITS | 16
_LINE_FEED: Final = b"\n"
_UNPACKED_AT_ONCE: Final = 1 << 20
_MOST_LINES: Final = 2_000_000


class BadFile(ValueError):
    """It is no exported history, or not the whole one that was written."""


@dataclass(frozen=True, slots=True)
class StoredEnvelope:
    """An envelope as it lay on a log."""

    role: str
    """`execution`: of an execution that was exported; `cause`: what led to one of these; `registered`: looked up."""
    subject: str
    sha256: bytes
    """Of the envelope as it lay there: what its successor names."""
    data: bytes
    redacted: bool = False
    """Values were taken out of it, so that its bytes are others now."""
    facts: Sequence[str] = ()
    """Short names, for who reads the file."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it lay in the object store."""

    uri: str
    size: int
    sha256: bytes = b""
    """Empty: nobody read it; it was there."""
    data: bytes | None = None
    """None: left out."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the file is about."""

    executions: Sequence[tuple[str, str, str]]
    """Project, domain and name of each; the first is the one that was asked for."""
    release: str
    bucket: str
    settings: Any
    """Of the engine, as `replay.encoding` writes them."""
    limits: Mapping[str, int]
    """How large the objects were at most that the engine read, in bytes."""
    without_data: bool = False


@dataclass(slots=True)
class Exported:
    """What a file holds."""

    manifest: Manifest
    envelopes: list[StoredEnvelope] = field(default_factory=list[StoredEnvelope])
    objects: dict[str, StoredObject] = field(default_factory=dict[str, StoredObject])
    absent: set[str] = field(default_factory=set[str])
    """They were looked for, and not there."""
    folders: dict[str, list[tuple[str, int]]] = field(default_factory=dict[str, list[tuple[str, int]]])
    """Names and sizes of what lay in folders that were looked into."""


class Writer:
    """Makes the file piece by piece."""

    def __init__(self) -> None:
        # Neither a time nor a name goes into the header.
        self._zip = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
        self._hash = sha256()
        self._lines = 0

    def manifest(self, manifest: Manifest) -> bytes:
        return self._line(
            {
                "kind": "history",
                "format": FORMAT,
                "release": manifest.release,
                "executions": ["/".join(key) for key in manifest.executions],
                "bucket": manifest.bucket,
                "without_data": manifest.without_data,
                "settings": manifest.settings,
                "limits": dict(manifest.limits),
            }
        )

    def envelope(self, envelope: StoredEnvelope) -> bytes:
        return self._line(
            {
                "kind": "envelope",
                "role": envelope.role,
                "subject": envelope.subject,
                "facts": list(envelope.facts),
                "sha256": envelope.sha256.hex(),
                **({"redacted": True} if envelope.redacted else {}),
                "data": _text(envelope.data),
            }
        )

    def object(self, found: StoredObject) -> bytes:
        return self._line(
            {
                "kind": "object",
                "uri": found.uri,
                "size": found.size,
                **({"sha256": found.sha256.hex()} if found.sha256 else {}),
                **({"data": _text(found.data)} if found.data is not None else {}),
            }
        )

    def absent(self, uri: str) -> bytes:
        return self._line({"kind": "absent", "uri": uri})

    def folder(self, uri: str, entries: Sequence[tuple[str, int]]) -> bytes:
        return self._line({"kind": "folder", "uri": uri, "entries": [list(entry) for entry in entries]})

    def end(self) -> bytes:
        """The last piece."""
        digest = self._hash.hexdigest()
        return self._line({"kind": "end", "lines": self._lines, "sha256": digest}) + self._zip.flush()

    def _line(self, document: Mapping[str, Any]) -> bytes:
        line = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + _LINE_FEED
        self._hash.update(line)
        self._lines += 1
        return self._zip.compress(line)


def is_file(data: bytes) -> bool:
    """Whether this may be an exported history: it begins like one."""
    try:
        begin = zlib.decompressobj(_GZIP).decompress(data[:4096], 64)
    except zlib.error:
        return False
    return begin.startswith(b'{"kind":"history"')


def read(data: bytes, limit: int) -> Exported:
    """What a file holds.

    Args:
        limit: most bytes that it may have unpacked.

    Raises:
        BadFile: it is not whole, was altered, or is of another kind or of a later format.
    """
    exported: Exported | None = None
    digest, count, last = sha256(), 0, b""
    try:
        for line in _lines(data, limit):
            if count == 1:
                exported = Exported(_manifest(_document(last)))
            elif exported is not None:
                _take(exported, _document(last))
            digest.update(last)
            last, count = line, count + 1
    except BadFile:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadFile(f"a line of the file lacks something: {error!r}") from error
    if exported is None:
        raise BadFile("this is no exported history")
    end = _document(last)
    if end.get("kind") != "end":
        raise BadFile("the end of the file is missing")
    if end.get("lines") != count - 1 or end.get("sha256") != digest.hexdigest():
        raise BadFile("the file is not what was written: its hash is another one")
    return exported


def _lines(data: bytes, limit: int) -> Iterator[bytes]:
    """The lines of the file, one after the other: what it holds may be a thousand times as large as the file."""
    unzip = zlib.decompressobj(_GZIP)
    begun: list[bytes] = []
    size = count = 0
    while data and not unzip.eof:
        try:
            piece = unzip.decompress(data, _UNPACKED_AT_ONCE)
        except zlib.error as error:
            raise BadFile(f"this is no gzip file: {error}") from error
        data = unzip.unconsumed_tail
        size += len(piece)
        if size > limit:
            raise BadFile(f"the file has more than {limit} bytes unpacked")
        *whole, rest = piece.split(_LINE_FEED)
        for line in whole:
            yield b"".join((*begun, line, _LINE_FEED))
            begun.clear()
        count += len(whole)
        if count > _MOST_LINES:
            raise BadFile(f"the file has more than {_MOST_LINES} lines")
        begun.append(rest)
    if not unzip.eof:
        raise BadFile("the end of the file is missing")
    if any(begun):
        yield b"".join(begun)


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"a line of the file is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadFile("a line of the file is no JSON object")
    return cast("dict[str, Any]", document)


def _manifest(document: dict[str, Any]) -> Manifest:
    if document.get("kind") != "history":
        raise BadFile("this is no exported history")
    if document["format"] != FORMAT:
        raise BadFile(f"a history of format {document['format']}; this release knows {FORMAT}")
    executions: list[tuple[str, str, str]] = []
    for text in document["executions"]:
        project, _, rest = text.partition("/")
        domain, _, name = rest.partition("/")
        executions.append((project, domain, name))
    return Manifest(
        executions,
        document["release"],
        document["bucket"],
        document["settings"],
        document["limits"],
        document["without_data"],
    )


def _take(exported: Exported, document: dict[str, Any]) -> None:
    match document["kind"]:
        case "envelope":
            exported.envelopes.append(_envelope(document))
        case "object":
            found = _object(document)
            exported.objects[found.uri] = found
        case "absent":
            exported.absent.add(document["uri"])
        case "folder":
            exported.folders[document["uri"]] = [(name, size) for name, size in document["entries"]]
        case other:
            raise BadFile(f"a line of an unknown kind: {other}")


def _envelope(document: dict[str, Any]) -> StoredEnvelope:
    data, digest = _bytes(document["data"]), bytes.fromhex(document["sha256"])
    redacted = document.get("redacted", False)
    if document["role"] not in _ROLES:
        raise BadFile(f"an envelope of an unknown role: {document['role']}")
    if not redacted and sha256(data).digest() != digest:
        raise BadFile(f"an envelope of {document['subject']} is not what was written")
    return StoredEnvelope(
        document["role"], _name(document, "subject"), digest, data, redacted, tuple(document["facts"])
    )


def _object(document: dict[str, Any]) -> StoredObject:
    digest = bytes.fromhex(document.get("sha256", ""))
    data = _bytes(document["data"]) if "data" in document else None
    if data is not None and sha256(data).digest() != digest:
        raise BadFile(f"the object {document['uri']} is not what was written")
    return StoredObject(_name(document, "uri"), int(document["size"]), digest, data)


def _name(document: dict[str, Any], key: str) -> str:
    name = document[key]
    if not isinstance(name, str):
        raise BadFile(f"a line of the file is damaged: its {key} is {name!r}")
    return name


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadFile(f"a line of the file is damaged: {error}") from error
