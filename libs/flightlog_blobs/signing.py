"""URLs signed with AWS Signature Version 4."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from .settings import BlobSettings

_ALGORITHM = "AWS4-HMAC-SHA256"
_LONGEST = timedelta(days=7)


class Signer:
    """Signs for one store."""

    def __init__(self, settings: BlobSettings) -> None:
        self._access_key = settings.access_key
        self._secret_key = settings.secret_key.get_secret_value()
        self._region = settings.region
        self._public_endpoint = (settings.public_endpoint or settings.endpoint).rstrip("/")
        self._keys: dict[str, bytes] = {}

    def presign(self, method: str, bucket: str, key: str, expires: timedelta, headers: Mapping[str, str]) -> str:
        """A URL that lets its holder make one kind of request, with exactly these headers, until it expires.

        minio signs the host alone; the MD5 and metadata of an upload have to be signed too, so that the holder of the
        URL can store nothing else than what was announced.
        """
        if not timedelta(seconds=1) <= expires <= _LONGEST:
            raise ValueError(f"a signed URL lives between 1 second and 7 days, not {expires}")
        endpoint = urlsplit(self._public_endpoint)
        path = endpoint.path + path_of(bucket, key)
        now = datetime.now(UTC)
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        canonical = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        canonical["host"] = endpoint.netloc
        names = sorted(canonical)
        query = "&".join(
            (
                f"X-Amz-Algorithm={_ALGORITHM}",
                f"X-Amz-Credential={quote(f'{self._access_key}/{scope}', safe='')}",
                f"X-Amz-Date={moment}",
                f"X-Amz-Expires={int(expires.total_seconds())}",
                f"X-Amz-SignedHeaders={quote(';'.join(names), safe='')}",
            )
        )
        header_lines = "".join(f"{name}:{canonical[name]}\n" for name in names)
        request = f"{method}\n{path}\n{query}\n{header_lines}\n{';'.join(names)}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = hmac.new(
            self._signing_key(moment[:8]), f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(), hashlib.sha256
        ).hexdigest()
        return f"{endpoint.scheme}://{endpoint.netloc}{path}?{query}&X-Amz-Signature={signature}"

    def _signing_key(self, day: str) -> bytes:
        key = self._keys.get(day)
        if key is None:
            key = f"AWS4{self._secret_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._keys = {day: key}
        return key


def path_of(bucket: str, key: str) -> str:
    """The path of an object's URL, path style."""
    return f"/{quote(bucket)}/{quote(key, safe='/-_.~')}"
