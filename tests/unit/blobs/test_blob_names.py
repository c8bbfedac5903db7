"""Names and settings of the object store."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flightlog_blobs import BlobError, BlobSettings, BlobStore, split

_ACCESS = {"bucket": "b", "endpoint": "http://h:1", "access_key": "k", "secret_key": "very secret"}


@given(st.from_regex(r"[a-z0-9-]{3,20}", fullmatch=True), st.text(min_size=1))
def test_uri_is_split_into_bucket_and_key(bucket: str, key: str) -> None:
    assert split(f"s3://{bucket}/{key}") == (bucket, key)


@pytest.mark.parametrize("uri", ["", "s3:", "s3://", "s3://b", "s3://b/", "s3:///k", "file:///k", "https://b/k"])
def test_what_is_no_uri_of_an_object_is_refused(uri: str) -> None:
    with pytest.raises(BlobError, match=r"is not s3://"):
        split(uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://b/a/b.pb", True),
        ("s3://b/a b/ü", True),
        ("s3://b/", False),
        ("s3://b", False),
        ("s3://c/a", False),
        ("s3://bb/a", False),
        ("s3a://b/a", False),
        ("gs://b/a", False),
        ("s3://b/a/../c", False),
        ("s3://b/a//c", False),
        ("s3://b/./c", False),
        ("s3://b/a\0", False),
        (f"s3://b/{'x' * 255}", True),
        (f"s3://b/{'ü' * 128}", False),
        (f"s3://b/{'x/' * 512}x", False),
    ],
)
def test_users_may_name_objects_of_our_bucket(uri: str, expected: bool) -> None:
    settings = BlobSettings.model_validate({**_ACCESS, "driver": "directory", "directory": "/data"})
    assert BlobStore.open(settings).has_room_for(uri) == expected


def test_driver_directory_needs_its_folder() -> None:
    with pytest.raises(ValidationError, match="needs `directory`"):
        BlobSettings.model_validate({**_ACCESS, "driver": "directory"})
    settings = BlobSettings.model_validate({**_ACCESS, "driver": "directory", "directory": "/data"})
    assert settings.directory == Path("/data")


def test_unknown_setting_is_an_error_and_the_secret_is_never_printed() -> None:
    with pytest.raises(ValidationError):
        BlobSettings.model_validate({**_ACCESS, "buckets": "typo"})
    assert "very secret" not in repr(BlobSettings.model_validate(_ACCESS))
