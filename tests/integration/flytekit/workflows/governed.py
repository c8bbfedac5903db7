"""A workflow that says how administrators want it to run."""

import os

from flytekit import Resources, task, workflow


@task(requests=Resources(cpu="100m", mem="200Mi"))
def mode() -> str:
    return os.environ.get("GOVERNED_MODE", "")


@workflow
def governed() -> str:
    return mode()
