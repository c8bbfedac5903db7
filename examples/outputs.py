"""Print what an execution returned, as Python values; files are downloaded.

    python examples/outputs.py <execution name>

Where the backend is comes from the environment, as for pyflyte: FLYTE_PLATFORM_URL, FLYTE_AWS_ENDPOINT, ….
"""

import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from flytekit.configuration import Config
from flytekit.remote import FlyteRemote
from flytekit.types.file import FlyteFile


def describe(value: Any) -> str:
    if isinstance(value, FlyteFile):
        size = Path(value.download()).stat().st_size
        return f"{value.remote_source} ({size / 1024:.0f} KiB)"
    if is_dataclass(value):
        return ", ".join(f"{field.name} {describe(getattr(value, field.name))}" for field in fields(value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main(name: str) -> None:
    remote = FlyteRemote(Config.auto(), default_project="flytesnacks", default_domain="development")
    execution = remote.sync_execution(remote.fetch_execution(name=name), sync_nodes=False)
    if execution.outputs is None:
        sys.exit(f"{name} has no outputs: {execution.error.message if execution.error else 'it has not ended'}")
    for output in execution.outputs.literals:
        print(f"  {output:<10}{describe(execution.outputs.get(output))}")


if __name__ == "__main__":
    main(sys.argv[1])
