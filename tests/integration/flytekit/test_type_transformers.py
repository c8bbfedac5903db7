"""Inputs and outputs of every type transformer that ships with flytekit survive the trip."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.integration.executions import ended


@pytest.fixture(scope="module")
def kinds(workflow_module: Callable[[str], Any]) -> Any:
    return workflow_module("kinds")


@pytest.fixture(scope="module")
def through(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Callable[..., Any]:
    """Run the identity task of that name on the inputs; gives the finished execution."""

    def run(name: str, module: str = "kinds", **inputs: Any) -> Any:
        task = getattr(workflow_module(module), name)
        execution = remote.execute(register(task), inputs=inputs, type_hints=task.python_interface.inputs)
        done = ended(remote, execution)
        assert done.is_successful, done.error
        return done

    return run


def hint(task: Any) -> Any:
    """The Python type of the task's output."""
    return task.python_interface.outputs["o0"]


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


@pytest.fixture(scope="module")
def plain(through: Callable[..., Any]) -> Any:
    """Outputs of one task that was given all plain values."""
    return through("plain", **PLAIN).outputs


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_plain_values(name: str, plain: Any, kinds: Any) -> None:
    assert plain.get(name, kinds.plain.python_interface.outputs[name]) == PLAIN[name]


def test_the_other_variant_of_a_union(through: Callable[..., Any], kinds: Any) -> None:
    assert through("unions", v=7).outputs.get("o0", hint(kinds.unions)) == 7


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


def test_date_pydantic_model_and_protobuf_message(through: Callable[..., Any], kinds: Any) -> None:
    from flyteidl.core.identifier_pb2 import TASK, Identifier

    day = date(2024, 2, 29)
    assert through("dates", v=day).outputs.get("o0", date) == day
    model = kinds.Model(name="n", weights=[0.5, 1.0], parent=kinds.Model(name="p", weights=[]))
    assert through("models", v=model).outputs.get("o0", kinds.Model) == model
    message = Identifier(resource_type=TASK, project="p", name="ünïcode")
    assert through("messages", v=message).outputs.get("o0", Identifier) == message


def test_array_estimator_and_schema(through: Callable[..., Any]) -> None:
    import numpy as np
    from flytekit.types.schema import FlyteSchema
    from sklearn.linear_model import LinearRegression

    doubled = through("arrays", v=np.array([[1.0, 2.0], [3.0, 4.0]])).outputs.get("o0", np.ndarray)
    assert doubled.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    estimator = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    returned = through("estimators", module="estimators", v=estimator).outputs.get("o0", LinearRegression)
    assert returned.predict([[2.0]]).tolist() == pytest.approx([5.0])
    schema = FlyteSchema()
    schema.open().write(pd.DataFrame({"a": [1, 2]}))
    assert through("schemas", v=schema).outputs.get("o0", FlyteSchema).open().all()["a"].tolist() == [1, 2]


def test_iterators_and_path(through: Callable[..., Any], kinds: Any, tmp_path: Path) -> None:
    numbers = through("iterators", v=iter([1, 2, 3])).outputs.get("o0", hint(kinds.iterators))
    assert list(numbers) == [2, 3, 4]
    lines = through("json_lines", v=iter([{"a": [1, None]}, "x"])).outputs.get("o0", hint(kinds.json_lines))
    assert list(lines) == [{"a": [1, None]}, "x", {"seen": True}]
    source = tmp_path / "source.txt"
    source.write_text("abc")
    assert through("paths", v=os.fspath(source)).outputs["o0"] == "abc"
