"""Inputs and outputs of every type transformer that ships with flytekit survive the trip."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

POLL = timedelta(milliseconds=100)


@pytest.fixture(scope="module")
def kinds(workflow_module: Callable[[str], Any]) -> Any:
    return workflow_module("kinds")


@pytest.fixture(scope="module")
def through(remote: Any, kinds: Any, register: Callable[..., Any]) -> Callable[..., Any]:
    """Run the identity task of that name on the inputs; gives the finished execution."""

    def run(name: str, **inputs: Any) -> Any:
        task = getattr(kinds, name)
        execution = remote.execute(register(task), inputs=inputs, type_hints=task.python_interface.inputs)
        done = remote.wait(execution, timeout=timedelta(seconds=120), poll_interval=POLL, sync_nodes=True)
        assert done.is_successful, done.error
        return done

    return run


PLAIN: dict[str, Any] = {
    "integers": 2**62,
    "floats": -0.5,
    "strings": 'ünïcode, "quotes" and\nnewlines',
    "booleans": True,
    "datetimes": datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
    "durations": timedelta(days=3, microseconds=7),
    "lists": [[1, 2], [], [3]],
    "dicts": {"a.b": [1.0, 2.5], "": []},
    "free_dicts": {"nested": {"list": [1, "two", 3.5, None]}},
    "unions": "text",
    "optionals": None,
}


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_plain_values(name: str, through: Callable[..., Any], kinds: Any) -> None:
    hint = getattr(kinds, name).python_interface.outputs["o0"]
    assert through(name, v=PLAIN[name]).outputs.get("o0", hint) == PLAIN[name]


def test_the_other_variant_of_a_union(through: Callable[..., Any], kinds: Any) -> None:
    assert through("unions", v=7).outputs.get("o0", kinds.unions.python_interface.outputs["o0"]) == 7


def test_enum_and_dataclass(through: Callable[..., Any], kinds: Any) -> None:
    assert through("colours", v=kinds.Colour.BLUE).outputs.get("o0", kinds.Colour) == kinds.Colour.BLUE
    value = kinds.Outer(name="n", ratio=0.25, inner=kinds.Inner([1, 2]), by_name={"k": 3})
    assert through("dataclasses", v=value).outputs.get("o0", kinds.Outer) == value


def test_named_tuple_gives_two_outputs(through: Callable[..., Any]) -> None:
    outputs = through("pairs", a=1, b="x").outputs
    assert (outputs["first"], outputs["second"]) == (1, "x")


def test_file_and_directory(through: Callable[..., Any], tmp_path: Path) -> None:
    from flytekit.types.directory import FlyteDirectory
    from flytekit.types.file import FlyteFile

    source = tmp_path / "in" / "text.txt"
    source.parent.mkdir()
    source.write_text("hello")
    copied = through("files", v=FlyteFile(str(source))).outputs.get("o0", FlyteFile)
    assert Path(copied.download()).read_text() == "HELLO"
    (source.parent / "more.txt").write_text("more")
    directory = through("directories", v=FlyteDirectory(str(source.parent))).outputs.get("o0", FlyteDirectory)
    assert sorted(path.name for path in Path(directory.download()).iterdir()) == ["more.txt", "text.txt"]


def test_data_frames_tables_and_structured_datasets(through: Callable[..., Any]) -> None:
    from flytekit import StructuredDataset

    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert through("frames", v=frame).outputs.get("o0", pd.DataFrame)["doubled"].tolist() == [2, 4, 6]
    # Reading a remote Table back is beyond flytekit 1.16 itself: it looks for the file on the local disk.
    table = through("tables", v=frame).outputs.get("o0", pd.DataFrame)
    assert table["a"].tolist() == [1, 2, 3]
    dataset = through("datasets", v=StructuredDataset(dataframe=frame)).outputs.get("o0", StructuredDataset)
    assert dataset.open(pd.DataFrame).all()["a"].tolist() == [1, 2, 3]


def test_pickled_object(through: Callable[..., Any], kinds: Any) -> None:
    assert through("pickles", v=kinds.Unknown(1)).outputs.get("o0", kinds.Unknown).value == 2
