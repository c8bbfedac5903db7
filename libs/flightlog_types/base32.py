"""The base 32 that Flyte writes names and annotations in: letters first, no padding (k8s-contract §1.1)."""

import base64
from typing import Final

_ALPHABET: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"abcdefghijklmnopqrstuvwxyz123456")


def base32(data: bytes) -> str:
    """Bytes as characters that the name of any Kubernetes object may hold."""
    return base64.b32encode(data).rstrip(b"=").translate(_ALPHABET).decode()
