"""Requests to an S3 store, signed with AWS Signature Version 4."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

from .settings import BlobSettings
from .signing import path_of

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class RequestSigner:
    """Signs for one store."""

    def __init__(self, settings: BlobSettings) -> None:
        self._credentials = Credentials(settings.access_key, settings.secret_key.get_secret_value())
        self._region = settings.region
        self._endpoint = settings.endpoint.rstrip("/")

    def request(
        self, method: str, bucket: str, key: str, headers: Mapping[str, str], sha256: str, *, query: str = ""
    ) -> tuple[str, dict[str, str]]:
        """URL and headers of a request that we make ourselves.

        `sha256` is the hex digest of its body; the names of `query` are in their order, its values quoted.
        """
        url = f"{self._endpoint}{path_of(bucket, key)}" + (f"?{query}" if query else "")
        parts = urlsplit(url)
        now = datetime.now(UTC)
        signed = {
            **headers,
            "Host": parts.netloc,
            "x-amz-content-sha256": sha256,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        sign_v4_s3(
            method=method,
            url=SplitResult(*parts),
            region=self._region,
            headers=signed,  # pyright: ignore[reportArgumentType]  # its value type is invariant
            credentials=self._credentials,
            content_sha256=sha256,
            date=now,
        )
        return url, signed
