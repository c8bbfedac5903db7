"""Unmodified flytekit, as a library and as a subprocess, against a running stack."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.warm_scripts import WarmPyflyte

WORKFLOWS = Path(__file__).parent / "flytekit" / "workflows"
IMAGE = "localhost/flytekit:1"
POLL = timedelta(milliseconds=100)


@pytest.fixture(scope="session")
def flyte_environment(stack: Any) -> dict[str, str]:
    """Environment of a client on this machine: where the backend is, and how to reach its object store."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("FLYTE", "_F_", "FLIGHTLOG"))
    }
    return inherited | stack.client_environment | {"FLYTECTL_CONFIG": "/dev/null", "FLYTE_SDK_LOGGING_LEVEL": "50"}


@pytest.fixture(scope="session")
def pyflyte(
    flyte_environment: dict[str, str], warm_pyflyte: WarmPyflyte
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the unmodified `pyflyte` in the folder of test workflows."""

    def run(*arguments: str, check: bool = True, cwd: Path = WORKFLOWS) -> subprocess.CompletedProcess[str]:
        result = warm_pyflyte.run(arguments, cwd=cwd, environment=flyte_environment)
        if check and result.returncode:
            pytest.fail(f"{' '.join(arguments)} exited {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    return run


@pytest.fixture(scope="session")
def remote(flyte_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A FlyteRemote whose own uploads and downloads go to the stack's object store."""
    os.environ.update({name: value for name, value in flyte_environment.items() if name.startswith(("FLYTE", "AWS"))})
    from flytekit.configuration import Config, DataConfig, PlatformConfig, S3Config
    from flytekit.core.context_manager import FlyteContextManager
    from flytekit.core.data_persistence import FileAccessProvider
    from flytekit.remote import FlyteRemote

    store = S3Config(
        endpoint=flyte_environment["FLYTE_AWS_ENDPOINT"],
        access_key_id=flyte_environment["FLYTE_AWS_ACCESS_KEY_ID"],
        secret_access_key=flyte_environment["FLYTE_AWS_SECRET_ACCESS_KEY"],
    )
    # Another test of this process may have imported flytekit, which reads its environment only then.
    folder = str(tmp_path_factory.mktemp("flyte"))
    access = FileAccessProvider(local_sandbox_dir=folder, raw_output_prefix=folder, data_config=DataConfig(s3=store))
    context = FlyteContextManager.current_context()
    FlyteContextManager.push_context(context.with_file_access(access).build())
    platform = PlatformConfig(endpoint=flyte_environment["FLYTE_PLATFORM_URL"], insecure=True)
    return FlyteRemote(
        Config(platform=platform, data_config=DataConfig(s3=store)),
        default_project="flytesnacks",
        default_domain="development",
    )


@pytest.fixture(scope="session")
def workflow_module() -> Callable[[str], Any]:
    """Import a module of test workflows under its plain name, as pyflyte would."""

    def load(name: str) -> Any:
        if str(WORKFLOWS) not in sys.path:
            sys.path.insert(0, str(WORKFLOWS))
        return importlib.import_module(name)

    return load


@pytest.fixture(scope="session")
def register(remote: Any) -> Callable[..., Any]:
    """Fast-register a task or workflow once and give back what the backend has of it."""
    from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings
    from flytekit.core.base_task import PythonTask

    known: dict[str, Any] = {}
    _, package = remote.fast_package(WORKFLOWS)
    settings = SerializationSettings(
        project="flytesnacks",
        domain="development",
        image_config=ImageConfig.auto(img_name=IMAGE),
        fast_serialization_settings=FastSerializationSettings(
            enabled=True, destination_dir=".", distribution_location=package
        ),
        version="remote-1",
    )

    def once(entity: Any) -> Any:
        if entity.name not in known:
            method = remote.register_task if isinstance(entity, PythonTask) else remote.register_workflow
            known[entity.name] = method(entity, serialization_settings=settings, version="remote-1")
        return known[entity.name]

    return once
