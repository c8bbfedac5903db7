"""Kubernetes quantities."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types import quantities


@pytest.mark.parametrize(
    ("text", "value", "canonical"),
    [
        ("2", "2", "2"),
        ("+2", "2", "2"),
        ("1000m", "1", "1"),
        ("0.5", "0.5", "500m"),
        (".5", "0.5", "500m"),
        ("1500", "1500", "1500"),
        ("2000", "2000", "2k"),
        ("1024Mi", "1073741824", "1Gi"),
        ("1.5Gi", "1610612736", "1536Mi"),
        ("0.5Ki", "512", "512"),
        ("1000Ki", "1024000", "1000Ki"),
        ("1e3", "1000", "1e3"),
        ("12E6", "12000000", "12e6"),
        ("1E", "1000000000000000000", "1E"),
        ("100m", "0.1", "100m"),
        ("-3", "-3", "-3"),
        ("0", "0", "0"),
        ("0Gi", "0", "0"),
        ("1n", "0.000000001", "1n"),
        ("0.0000000001", "0.000000001", "1n"),
        ("9999999999999999999999", "9223372036854775807", "9223372036854775807"),
    ],
)
def test_value_and_canonical_form(text: str, value: str, canonical: str) -> None:
    assert quantities.parse(text) == Decimal(value)
    assert quantities.canonical(text) == canonical


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "1..2", "1Kii", ".", "1e", "+", "1m3", "1 Gi", "٣", "1e99999999999", "Gi"]
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(quantities.BadQuantity):
        quantities.parse(text)


@given(st.integers(0, 10**9), st.sampled_from(["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3"]))
def test_the_canonical_form_has_the_same_value(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    canonical = quantities.canonical(text)
    assert quantities.parse(canonical) == quantities.parse(text)
    assert quantities.canonical(canonical) == canonical


@given(st.text(alphabet="0123456789.+-eEinumkKMGTP", max_size=80))
def test_any_text_is_a_quantity_or_a_bad_one(text: str) -> None:
    try:
        value = quantities.parse(text)
    except quantities.BadQuantity:
        return
    assert abs(value) <= 2**63 - 1


def test_whole_numbers() -> None:
    assert quantities.is_whole(quantities.parse("1"))
    assert quantities.is_whole(quantities.parse("1000m"))
    assert not quantities.is_whole(quantities.parse("500m"))
