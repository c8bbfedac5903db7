"""Pauses between attempts, read from a task's annotations."""

from collections import OrderedDict
from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.tasks_pb2 import TaskMetadata
from flytekit import task
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.tools.translator import get_serializable

from flightlog_types.retry_pauses import BASE, MOST, BadPause, RetryPauses, retry_pauses


def annotated(**annotations: str) -> TaskMetadata:
    metadata = TaskMetadata()
    metadata.metadata.annotations.update({{"base": BASE, "most": MOST}[key]: text for key, text in annotations.items()})
    return metadata


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", timedelta()),
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("1.5s", timedelta(seconds=1.5)),
        ("1h30m", timedelta(minutes=90)),
        ("168h", timedelta(days=7)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert retry_pauses(annotated(base=text)) == RetryPauses(expected, None)
    assert retry_pauses(annotated(most=text)) == RetryPauses(None, expected)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1d", "soon", "169h", "1e9s", "9" * 40 + "s", "１s", "30s\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadPause) as bad:
        retry_pauses(annotated(base="1s", most=text))
    assert bad.value.annotation == MOST


def test_nothing_asked() -> None:
    assert retry_pauses(TaskMetadata()) == RetryPauses(None, None)


def test_flytekit_sends_annotations_there() -> None:
    @task(retries=3, annotations={BASE: "5s"})
    def patient(x: int) -> int:
        return x

    settings = SerializationSettings(ImageConfig(Image("default", "i", "1")), project="p", domain="d", version="v")
    serialized: Any = get_serializable(OrderedDict(), settings, patient)
    assert retry_pauses(serialized.to_flyte_idl().template.metadata).base == timedelta(seconds=5)
