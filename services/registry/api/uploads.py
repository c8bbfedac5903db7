"""DataProxyService/CreateUploadLocation: where a client may put a file, and how (admin-contract §1.10, §8.2)."""

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from flyteidl.service import dataproxy_pb2

from flightlog_blobs import BlobStat
from flightlog_rpc import CallContext
from services.registry.refusals import already_exists, invalid
from services.registry.store import Store

MD5_METADATA = "flyteContentMD5"
"""Object metadata in which flytekit keeps the content's MD5."""

MAX_KEY_BYTES = 1024
MAX_SEGMENT_BYTES = 255
EMPTY = ("metadata", "admin", "empty")
"""Key of an object without content."""

_MD5_BYTES = 16
_EMPTY_MD5 = hashlib.md5(b"", usedforsecurity=False).digest()
_RANDOM_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_RESERVED = "metadata"


async def create_upload_location(
    store: Store, request: dataproxy_pb2.CreateUploadLocationRequest, _: CallContext
) -> dataproxy_pb2.CreateUploadLocationResponse:
    """A signed PUT. Whether the project exists does not matter here (T23)."""
    if not request.project or not request.domain:
        raise invalid("project and domain are required parameters")
    if not request.content_md5 and not request.filename_root:
        raise invalid("content_md5 or filename_root is a required parameter")
    if request.content_md5 and len(request.content_md5) != _MD5_BYTES:
        raise invalid(f"content_md5 must have {_MD5_BYTES} bytes, got {len(request.content_md5)}")
    expires = _expiry(store, request)
    uri = store.blobs.uri(*_key(store, request))
    if request.filename and request.filename_root:
        await _refuse_collision(store, request, uri)
    headers = _headers(request)
    empty = request.content_md5 == _EMPTY_MD5 and request.add_content_md5_metadata
    if empty:
        # For an empty file flytekit announces a chunked body and then sends none, for which any server waits (T21).
        # A copy has no body to wait for.
        source = store.blobs.uri(*EMPTY)
        await store.blobs.put(source, b"")
        headers["x-amz-copy-source"] = f"/{source.removeprefix('s3://')}"
    # A body that is sent after all, against its MD5, comes with a length: no chunks, no valid signature.
    signed = {**headers, "Transfer-Encoding": "chunked"} if empty else headers
    signed_url = store.blobs.sign_put(uri, expires=expires, headers=signed)
    if empty:
        headers["Connection"] = "close"
    answer = dataproxy_pb2.CreateUploadLocationResponse(signed_url=signed_url, native_url=uri, headers=headers)
    answer.expires_at.FromDatetime(datetime.now(UTC) + expires)
    return answer


def _expiry(store: Store, request: dataproxy_pb2.CreateUploadLocationRequest) -> timedelta:
    most = store.settings.upload.max_expiry
    if not request.HasField("expires_in"):
        return most
    seconds = request.expires_in.seconds + request.expires_in.nanos / 1e9
    if seconds == 0:
        return most
    if not 1 <= seconds <= most.total_seconds():
        raise invalid(f"expires_in must be between 1s and {most.total_seconds():.0f}s, got {seconds}s")
    return timedelta(seconds=seconds)


def _key(store: Store, request: dataproxy_pb2.CreateUploadLocationRequest) -> list[str]:
    """The segments of the object's key: a directory named by the client or by the content, then the file (T18)."""
    root = request.filename_root or base64.b32encode(request.content_md5).decode()
    name = request.filename or "".join(secrets.choice(_RANDOM_ALPHABET) for _ in range(20))
    given = [store.settings.upload.storage_prefix, request.org, request.project, request.domain, root, name]
    if any("\\" in part or any(character < " " or character == "\x7f" for character in part) for part in given):
        raise invalid("a path of an upload must not contain backslashes or control characters")
    segments = [segment for part in given for segment in part.split("/") if segment]
    if any(segment in (".", "..") for segment in segments):
        raise invalid("a path of an upload must not contain the segments '.' and '..'")
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in segments):
        raise invalid(f"a segment of an upload's path may have at most {MAX_SEGMENT_BYTES} bytes")
    if len("/".join(segments).encode()) > MAX_KEY_BYTES:
        raise invalid(f"the path of an upload may have at most {MAX_KEY_BYTES} bytes")
    if segments[0] == _RESERVED:
        raise invalid(f"uploads must not go to '{_RESERVED}', where the server keeps its own data")
    return segments


def _headers(request: dataproxy_pb2.CreateUploadLocationRequest) -> dict[str, str]:
    """What the client has to send along. No Content-Length: the recorded "24" is the length of the MD5's text (T16)."""
    if not request.content_md5:
        return {}
    encoded = base64.b64encode(request.content_md5).decode()
    headers = {"Content-MD5": encoded}
    if request.add_content_md5_metadata:
        headers[f"x-amz-meta-{MD5_METADATA}"] = encoded
    return headers


async def _refuse_collision(store: Store, request: dataproxy_pb2.CreateUploadLocationRequest, uri: str) -> None:
    """A file that is there may be written again with the same content only (T22)."""
    stat = await store.blobs.stat(uri)
    if stat is None:
        return
    if not request.content_md5:
        raise already_exists(f"file already exists at location [{uri}], specify a matching hash if you wish to rewrite")
    if not _same_content(stat, request.content_md5):
        raise already_exists(f"file already exists at location [{uri}], but hash mismatch")


def _same_content(stat: BlobStat, md5: bytes) -> bool:
    recorded = {key.lower(): value for key, value in stat.metadata.items()}.get(MD5_METADATA.lower())
    encoded = base64.b64encode(md5).decode()
    if recorded:
        return recorded == encoded
    forms = {md5.hex(), base64.b32encode(md5).decode(), encoded}
    return (stat.etag or "").strip('"') in forms
