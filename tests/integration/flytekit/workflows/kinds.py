"""Identity tasks for each type transformer that ships with flytekit: what goes in must come out.

Plain values share one task: each task is a process.
"""

import datetime
import enum
import os
import typing
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
from flyteidl.core.identifier_pb2 import Identifier
from flytekit import Resources, StructuredDataset, task
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from flytekit.types.iterator.json_iterator import JSON
from flytekit.types.schema import FlyteSchema

SMALL = Resources(cpu="100m", mem="300Mi")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Inner:
    numbers: typing.List[int] = field(default_factory=list)


@dataclass
class Outer:
    name: str
    ratio: float
    inner: Inner
    by_name: typing.Dict[str, int]


class Unknown:
    """flytekit knows nothing of this class and pickles it."""

    def __init__(self, value: int) -> None:
        self.value = value


Plain = typing.NamedTuple(
    "Plain",
    [
        ("integers", int),
        ("floats", float),
        ("strings", str),
        ("booleans", bool),
        ("datetimes", datetime.datetime),
        ("durations", datetime.timedelta),
        ("lists", typing.List[typing.List[int]]),
        ("dicts", typing.Dict[str, typing.List[float]]),
        ("free_dicts", dict),
        ("unions", typing.Union[int, str]),
        ("optionals", typing.Optional[int]),
    ],
)


@task(requests=SMALL)
def plain(
    integers: int,
    floats: float,
    strings: str,
    booleans: bool,
    datetimes: datetime.datetime,
    durations: datetime.timedelta,
    lists: typing.List[typing.List[int]],
    dicts: typing.Dict[str, typing.List[float]],
    free_dicts: dict,
    unions: typing.Union[int, str],
    optionals: typing.Optional[int],
) -> Plain:
    return Plain(integers, floats, strings, booleans, datetimes, durations, lists, dicts, free_dicts, unions, optionals)


Pair = typing.NamedTuple("Pair", [("first", int), ("second", str)])


@task(requests=SMALL)
def colours(v: Colour) -> Colour:
    return v


@task(requests=SMALL)
def dataclasses(v: Outer) -> Outer:
    return v


@task(requests=SMALL)
def unions(v: typing.Union[int, str]) -> typing.Union[int, str]:
    return v


@task(requests=SMALL)
def pairs(a: int, b: str) -> Pair:
    return Pair(a, b)


@task(requests=SMALL)
def files(v: FlyteFile) -> FlyteFile:
    with open(v) as file:
        content = file.read()
    with open("copy.txt", "w") as file:
        file.write(content.upper())
    return FlyteFile("copy.txt")


@task(requests=SMALL)
def directories(v: FlyteDirectory) -> FlyteDirectory:
    v.download()
    return FlyteDirectory(v.path)


@task(requests=SMALL)
def frames(v: pd.DataFrame) -> pd.DataFrame:
    return v.assign(doubled=v["a"] * 2)


@task(requests=SMALL)
def tables(v: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(v)


@task(requests=SMALL)
def datasets(v: StructuredDataset) -> StructuredDataset:
    return StructuredDataset(dataframe=v.open(pd.DataFrame).all())


@task(requests=SMALL)
def pickles(v: Unknown) -> Unknown:
    return Unknown(v.value + 1)


@task(requests=SMALL)
def dates(v: datetime.date) -> datetime.date:
    return v


class Model(pydantic.BaseModel):
    name: str
    weights: typing.List[float]
    parent: typing.Optional["Model"] = None


@task(requests=SMALL)
def models(v: Model) -> Model:
    return v


@task(requests=SMALL)
def messages(v: Identifier) -> Identifier:
    return v


@task(requests=SMALL)
def arrays(v: np.ndarray) -> np.ndarray:
    return v * 2


@task(requests=SMALL)
def schemas(v: FlyteSchema) -> FlyteSchema:
    result = FlyteSchema()
    result.open().write(v.open().all())
    return result


@task(requests=SMALL)
def iterators(v: typing.Iterator[int]) -> typing.Iterator[int]:
    return (number + 1 for number in v)


@task(requests=SMALL)
def json_lines(v: typing.Iterator[JSON]) -> typing.Iterator[JSON]:
    return iter([*v, {"seen": True}])


@task(requests=SMALL)
def paths(v: os.PathLike) -> str:
    with open(v) as source:
        return source.read()
