"""Names of objects and containers (k8s-contract §1.1)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.k8s_launcher.kubernetes.pods.names import container_name, dns_subdomain, object_name
from tests.unit.kubernetes.pods.tasks import NAME

SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NAME, NAME),
        ("1-begins-with-a-digit", "1-begins-with-a-digit"),
        ("PenPineappleApplePen", "pen-pineapple-apple-pen"),
        ("with_underscores!", "withunderscores"),
        ("-.trimmed.-", "trimmed"),
        ("a.b-c", "a.b-c"),
    ],
)
def test_name_is_made_one_that_objects_may_have(name: str, expected: str) -> None:
    assert dns_subdomain(name) == expected


def test_name_too_long_keeps_its_beginning() -> None:
    name = dns_subdomain("A" * 300)
    # 253 characters for a subdomain, of which 20 and a dash are for what makes it unique.
    assert name[:233] == "a" * 232 + "-"
    assert len(name) <= 253


@given(st.text(max_size=300))
def test_every_name_is_a_subdomain(name: str) -> None:
    made = dns_subdomain(name)
    assert len(made) <= 253
    assert re.fullmatch(SUBDOMAIN, made)


@pytest.mark.parametrize(("longest", "length"), [(50, 49), (47, 8)])
def test_kind_of_object_with_shorter_names_gets_the_hash(longest: int, length: int) -> None:
    assert len(object_name("x" * 40 + "-n0-00000", longest)) == length


def test_container_has_its_objects_name_unless_no_container_may() -> None:
    assert container_name(NAME) == NAME
    assert re.fullmatch("f[a-z1-6]{7}", container_name("with.dot"))
    assert container_name("with.dot") == container_name("with.dot")
