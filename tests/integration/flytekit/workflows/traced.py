"""Values of all kinds on their way through nodes of all kinds, and a second workflow that takes what the first made."""

from pathlib import Path

import pandas as pd
from flytekit import current_context, dynamic, map_task, task, workflow
from flytekit.types.file import FlyteFile


@task
def write(text: str) -> FlyteFile:
    path = Path(current_context().working_directory) / "written.txt"
    path.write_text(text)
    return FlyteFile(str(path))


@task(cache=True, cache_version="1")
def measure(text: str, times: int) -> int:
    return len(text) * times


@task
def double(number: int) -> int:
    return 2 * number


@task
def enlarge(numbers: list[int], file: FlyteFile) -> FlyteFile:
    text = Path(file.download()).read_text()
    path = Path(current_context().working_directory) / "enlarged.txt"
    path.write_text(text * sum(numbers))
    return FlyteFile(str(path))


@task
def tabulate(numbers: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"number": numbers})


@dynamic
def doubled(number: int) -> int:
    return double(number=double(number=number))


@workflow
def inner(text: str) -> FlyteFile:
    return write(text=text)


@workflow
def made(text: str, numbers: list[int]) -> tuple[FlyteFile, int, pd.DataFrame]:
    file = inner(text=text)
    length = measure(text=text, times=2)
    large = enlarge(numbers=map_task(double)(number=numbers), file=file)
    return large, doubled(number=length), tabulate(numbers=numbers)


@task
def count(file: FlyteFile, frame: pd.DataFrame) -> int:
    return len(Path(file.download()).read_text()) + len(frame)


@workflow
def taken(file: FlyteFile, frame: pd.DataFrame) -> int:
    return count(file=file, frame=frame)
