"""A run that leaves something wherever a run can, and one that waits until it is told to go on."""

import datetime
from pathlib import Path

from flytekit import Resources, current_context, task, wait_for_input, workflow
from flytekit.types.file import FlyteFile


@task(requests=Resources(cpu="100m", mem="200Mi"), cache=True, cache_version="1")
def written(text: str) -> FlyteFile:
    path = Path(current_context().working_directory) / "text.txt"
    path.write_text(f"it says {text}")
    return FlyteFile(str(path))


@workflow
def deleting(text: str) -> FlyteFile:
    return written(text=text)


@workflow
def waiting() -> int:
    return wait_for_input("go", timeout=datetime.timedelta(hours=1), expected_type=int)
