"""Names of aggregates as NATS subjects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightlog_log import Subject, decode_token, encode_token

_texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)


@given(_texts)
def test_any_text_survives_as_one_token(text: str) -> None:
    token = encode_token(text)
    assert decode_token(token) == text
    assert not set(token) & set(".*> \t\r\n\0")
    assert token.isascii()


@given(_texts, _texts)
def test_different_texts_have_different_tokens(one: str, other: str) -> None:
    assert (encode_token(one) == encode_token(other)) == (one == other)


@given(st.lists(_texts, min_size=1, max_size=5))
def test_subject_is_parsed_to_what_it_was_made_of(parts: list[str]) -> None:
    subject = Subject.of("EXECUTION", *parts)
    assert Subject.parse(str(subject)) == subject
    assert subject.parts == tuple(parts)
    assert subject.stream == "EXECUTION"
    assert str(subject).split(".")[:2] == ["execution", f"{subject.partition:02d}"]
    assert 0 <= subject.partition < 32


def test_partition_is_part_of_the_released_format() -> None:
    # The places of aggregates on logs that exist: these may never change.
    assert str(Subject.of("EXECUTION", "flytesnacks", "development", "f.o o")) == (
        "execution.18.flytesnacks.development.f%2Eo%20o"
    )
    assert str(Subject.of("REGISTRY", "project", "flytesnacks")) == "registry.22.project.flytesnacks"


def test_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Subject.of("EXECUTION", "p", "")
    with pytest.raises(ValueError, match="needs a name"):
        Subject.of("EXECUTION")


@pytest.mark.parametrize(
    "text", ["", "execution", "execution.02", "execution.31.a", "execution.xx.a", "execution.02.%zz"]
)
def test_text_that_is_no_subject_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Subject.parse(text)
