"""flyte:// URLs."""

import pytest
from flyteidl.core import identifier_pb2
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types import urls
from flightlog_types.urls import Artifact, BadFlyteUrl, FlyteUrl

_NODE = identifier_pb2.NodeExecutionIdentifier(
    node_id="n0",
    execution_id=identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="a1b2"),
)


def test_the_urls_of_a_node_and_of_an_attempt() -> None:
    node = urls.node_urls(_NODE, deck=True)
    assert node.inputs == "flyte://v1/flytesnacks/development/a1b2/n0/i"
    assert node.outputs == "flyte://v1/flytesnacks/development/a1b2/n0/o"
    assert node.deck == "flyte://v1/flytesnacks/development/a1b2/n0/d"
    attempt = urls.task_urls(_NODE, 0, deck=False)
    assert attempt.outputs == "flyte://v1/flytesnacks/development/a1b2/n0/0/o"
    assert not attempt.deck


def test_a_url_names_a_node_or_an_attempt_or_one_literal() -> None:
    node = urls.parse("flyte://v1/flytesnacks/development/a1b2/n0/d")
    assert (node.node_execution_id, node.attempt, node.artifact) == (_NODE, None, Artifact.DECK)
    literal = urls.parse("flyte://v1/flytesnacks/development/a1b2/n0/0/o/o0")
    assert (literal.attempt, literal.artifact, literal.literal) == (0, Artifact.OUTPUTS, "o0")


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/key",
        "flyte://v2/p/d/e/n/i",
        "flyte://v1/p/d/e/i",
        "flyte://v1/p/d/e/n/x",
        "flyte://v1/p/d/e/n/d/o0",
        "flyte://v1/p/d/e/n/-1/i",
        "flyte://v1/p/d/e/n/i\n",
        "flyte://v1/p/d/e/n/i/",
        "flyte://v1/p/d/e/n/99999999999999999999/i",
    ],
)
def test_what_is_no_flyte_url(text: str) -> None:
    with pytest.raises(BadFlyteUrl):
        urls.parse(text)


def test_another_scheme_is_refused_as_recorded() -> None:
    with pytest.raises(BadFlyteUrl, match=r"^request does not start with the correct prefix$"):
        urls.parse("http://example.com")


_PART = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=8)


@given(
    st.builds(
        FlyteUrl,
        project=_PART,
        domain=_PART,
        execution=_PART,
        node_id=_PART,
        artifact=st.sampled_from([Artifact.INPUTS, Artifact.OUTPUTS]),
        attempt=st.none() | st.integers(0, 10**6),
        literal=st.none() | _PART,
    )
)
def test_a_url_reads_back(url: FlyteUrl) -> None:
    if url.attempt is None and url.literal is not None and url.node_id.isdigit():
        return
    assert urls.parse(str(url)) == url
