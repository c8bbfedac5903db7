"""Names of limited length: the vectors of Flyte's own tests (k8s-contract §1.1), and what holds for all names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types.short_names import fitted, fnv32a, hashed, hashed_long


@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [
        ("xx", 1, "flfryc2i"),
        ("xxxxxx", 5, "fufiti6i"),
        ("x" * 24, 20, "fuaa3aji"),
        ("x-y", 1, "fz2jizji"),
        ("x-y-z", 4, "fxzsoqrq"),
        ("x-y-z-m-n-y-z-m-n-y-z-m-n", 15, "fe63sz6y"),
        ("a-very-long-node-name-from-user", 20, "f24kxjxa"),
        ("a1b2c3d4e5f6g7h8i9j0-n0-0", 50, "a1b2c3d4e5f6g7h8i9j0-n0-0"),
    ],
)
def test_flytes_vectors(name: str, limit: int, expected: str) -> None:
    assert fitted(name, limit) == expected


@pytest.mark.parametrize(("text", "value"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_hash_has_the_vectors_of_its_authors(text: str, value: int) -> None:
    assert fnv32a(text) == value


def test_hash_of_64_bits_makes_fourteen_characters() -> None:
    assert hashed_long("akmhktsb8cz8hwmv4ldf-n0-0") == "fnljnygmunr6jo"


@given(st.text(max_size=80), st.integers(8, 60))
def test_no_name_is_longer_than_allowed_and_one_that_fits_is_itself(name: str, limit: int) -> None:
    assert len(fitted(name, limit)) <= limit
    assert fitted(name, limit) == (name if len(name) <= limit else hashed(name))
