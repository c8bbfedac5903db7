"""A launcher on real NATS and a real object store, with the tests playing the execution service."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from flyteidl.core import compiler_pb2, literals_pb2, tasks_pb2

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Log, LogSettings, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import AttemptAborting, AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.process.plans import Planner
from services.k8s_launcher.process.runtime import ProcessRuntime
from services.k8s_launcher.settings import ProcessSettings, SecretSettings
from services.k8s_launcher.shell import ORDERS, Launcher, Observer

TASKS = Path(__file__).parent / "tasks"
PROJECT, DOMAIN = "flytesnacks", "development"
FINAL = (AttemptObserved.EXITED, AttemptObserved.NOT_LAUNCHED, AttemptObserved.KILLED, AttemptObserved.LOST)


class Executions:
    """What the execution service would do: schedule attempts, read what was observed and what tasks wrote."""

    def __init__(self, log: Log, blobs: BlobStore, distribution: str) -> None:
        self.log = log
        self.blobs = blobs
        self.distribution = distribution

    async def schedule(
        self,
        template: tasks_pb2.TaskTemplate,
        *,
        inputs: Mapping[str, literals_pb2.Literal] | None = None,
        execution: str = "",
        attempt: int = 0,
        **fields: Any,
    ) -> AttemptScheduled:
        """Schedule one attempt of a task; more fields of the fact by name."""
        fact = await self.attempt(template, inputs=inputs, execution=execution, attempt=attempt, **fields)
        await self.append(fact.execution_id.name, fact)
        return fact

    async def attempt(
        self,
        template: tasks_pb2.TaskTemplate,
        *,
        inputs: Mapping[str, literals_pb2.Literal] | None = None,
        execution: str = "",
        attempt: int = 0,
        **fields: Any,
    ) -> AttemptScheduled:
        """The fact alone, with the closure and the inputs in the object store."""
        execution = execution or f"e{uuid4().hex[:18]}"
        prefix = f"metadata/{PROJECT}-{DOMAIN}-{execution}/n0/data"
        closure = compiler_pb2.CompiledWorkflowClosure(tasks=[compiler_pb2.CompiledTask(template=template)])
        fact = AttemptScheduled(
            node_id="n0",
            attempt=attempt,
            task_id=template.id,
            task_type=template.type,
            generated_name=f"{execution}-n0-{attempt}",
            closure=await self.blobs.put_content(self.blobs.uri("closures"), closure.SerializeToString()),
            inputs=await self.blobs.put(
                self.blobs.uri(prefix, "inputs.pb"), literals_pb2.LiteralMap(literals=inputs or {}).SerializeToString()
            ),
            output_prefix=self.blobs.uri(prefix, str(attempt)),
            raw_output_prefix=self.blobs.uri("raw", execution, str(attempt)),
            checkpoint_prefix=self.blobs.uri("raw", execution, str(attempt), "_flytecheckpoints"),
        )
        fact.execution_id.project, fact.execution_id.domain, fact.execution_id.name = PROJECT, DOMAIN, execution
        fact.workflow_id.project, fact.workflow_id.domain, fact.workflow_id.name = PROJECT, DOMAIN, "wf"
        fact.occurred_at.GetCurrentTime()
        fact.MergeFrom(AttemptScheduled(**fields))
        return fact

    async def append(self, execution: str, *facts: Any) -> None:
        subject = Subject.of("EXECUTION", PROJECT, DOMAIN, execution)
        head = await self.log.head(subject)
        await self.log.append(subject, facts, head=head, cause=Cause.service("execution"))

    async def abort(self, fact: AttemptScheduled, reason: str = "not wanted") -> None:
        aborting = AttemptAborting(node_id=fact.node_id, attempt=fact.attempt, reason=reason)
        await self.append(fact.execution_id.name, aborting)

    async def observed(self, fact: AttemptScheduled) -> list[AttemptObserved]:
        """All observations of one attempt so far."""
        recorded = await self.log.load(Subject.of("LAUNCHER", PROJECT, DOMAIN, fact.execution_id.name))
        facts = [item for record in recorded for item in record.facts if isinstance(item, AttemptObserved)]
        return [item for item in facts if (item.node_id, item.attempt) == (fact.node_id, fact.attempt)]

    async def until(
        self, fact: AttemptScheduled, *stages: AttemptObserved.Stage, seconds: float = 60
    ) -> AttemptObserved:
        """Wait for an observation of one of the stages."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = await self.observed(fact)
            for item in seen:
                if item.stage in stages:
                    return item
            await asyncio.sleep(0.01)
        names = [AttemptObserved.Stage.Name(item.stage) for item in seen]
        pytest.fail(f"after {seconds} s only {names} were observed of {fact.generated_name}")

    async def end(self, fact: AttemptScheduled, seconds: float = 60) -> AttemptObserved:
        return await self.until(fact, *FINAL, seconds=seconds)

    async def outputs(self, fact: AttemptScheduled) -> literals_pb2.LiteralMap:
        return literals_pb2.LiteralMap.FromString(await self.blobs.get(f"{fact.output_prefix}/outputs.pb"))

    async def error(self, fact: AttemptScheduled) -> str:
        from flyteidl.core import errors_pb2

        content = await self.blobs.get_or_none(f"{fact.output_prefix}/error.pb")
        return errors_pb2.ErrorDocument.FromString(content).error.message if content is not None else ""

    @staticmethod
    def program(
        *argv: str, image: str = "scratch", cpu: str = "", memory: str = "", gpu: str = ""
    ) -> tasks_pb2.TaskTemplate:
        """The template of a task that is a plain command."""
        template = tasks_pb2.TaskTemplate(type="container")
        template.id.project, template.id.domain, template.id.name, template.id.version = (
            PROJECT,
            DOMAIN,
            "program",
            "v1",
        )
        template.container.image = image
        template.container.command.extend(argv)
        names = ((tasks_pb2.Resources.CPU, cpu), (tasks_pb2.Resources.MEMORY, memory), (tasks_pb2.Resources.GPU, gpu))
        for name, value in names:
            if value:
                template.container.resources.requests.add(name=name, value=value)
        return template

    @staticmethod
    def integer(value: int) -> literals_pb2.Literal:
        literal = literals_pb2.Literal()
        literal.scalar.primitive.integer = value
        return literal

    @staticmethod
    def integers(*values: int) -> literals_pb2.Literal:
        literal = literals_pb2.Literal()
        literal.collection.SetInParent()
        for value in values:
            literal.collection.literals.add().scalar.primitive.integer = value
        return literal

    @staticmethod
    def text(value: str) -> literals_pb2.Literal:
        literal = literals_pb2.Literal()
        literal.scalar.primitive.string_value = value
        return literal

    @staticmethod
    def number(value: float) -> literals_pb2.Literal:
        literal = literals_pb2.Literal()
        literal.scalar.primitive.float_value = value
        return literal

    @staticmethod
    def stages(observed: Sequence[AttemptObserved]) -> list[str]:
        return [AttemptObserved.Stage.Name(item.stage) for item in observed]


@pytest.fixture(scope="session")
def module() -> ModuleType:
    """The user's tasks, imported the way flytekit serializes them."""
    specification = importlib.util.spec_from_file_location("launcher_tasks", TASKS / "launcher_tasks.py")
    assert specification is not None
    assert specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    sys.modules["launcher_tasks"] = loaded
    specification.loader.exec_module(loaded)
    return loaded


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def executions(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Executions]:
    from flytekit.tools.fast_registration import fast_package

    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="launcher-tests")
    archive = Path(fast_package(str(TASKS), None, False))
    distribution = await blobs.put(blobs.uri("code", archive.name), archive.read_bytes())  # noqa: ASYNC240
    yield Executions(log, blobs, distribution.uri)
    await log.close()
    await blobs.close()


@pytest.fixture
def template_of(module: ModuleType, executions: Executions) -> Callable[..., tasks_pb2.TaskTemplate]:
    """The template of a task of the module, fast-registered."""
    from flytekit.configuration import FastSerializationSettings, Image, ImageConfig, SerializationSettings
    from flytekit.tools.translator import get_serializable

    def template(name: str, *, fast: bool = True) -> tasks_pb2.TaskTemplate:
        from collections import OrderedDict

        settings = SerializationSettings(
            image_config=ImageConfig(default_image=Image(name="default", fqn="localhost/flytekit", tag="1")),
            project=PROJECT,
            domain=DOMAIN,
            version="v1",
            fast_serialization_settings=FastSerializationSettings(
                enabled=fast, destination_dir=".", distribution_location=executions.distribution
            ),
        )
        specification = get_serializable(OrderedDict(), settings, getattr(module, name))
        found = specification.to_flyte_idl().template
        # The registering client fills these in (admin-contract: flytekit's fast registration).
        for index, argument in enumerate(found.container.args):
            found.container.args[index] = argument.replace(
                "{{ .remote_package_path }}", executions.distribution
            ).replace("{{ .dest_dir }}", ".")
        return found

    return template


@contextlib.asynccontextmanager
async def _launching(
    executions: Executions,
    blob_settings: BlobSettings,
    folder: Path,
    durable: str,
    *,
    taken: Callable[[Recorded], bool] | None,
    secrets: Path | None = None,
    **settings: Any,
) -> AsyncIterator[ProcessRuntime]:
    """A launcher in this process, which takes those orders; with None it takes none at all."""
    environment = {
        "FLYTE_AWS_ENDPOINT": blob_settings.endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": blob_settings.access_key,
        "FLYTE_AWS_SECRET_ACCESS_KEY": blob_settings.secret_key.get_secret_value(),
    }
    chosen: dict[str, Any] = {"devices": []} | settings
    runtime = await ProcessRuntime.open(
        ProcessSettings(directory=folder, **chosen),
        Planner(executions.blobs, environment=environment),
        Observer(executions.log).report,
        task_defaults=environment,
        secrets=SecretSettings.model_validate({"directory": secrets}),
    )
    await runtime.adopt()
    tasks = [asyncio.ensure_future(runtime.run())]
    if taken is not None:
        launcher = Launcher(executions.log, runtime, durable=durable)

        async def take(recorded: Recorded) -> None:
            if taken(recorded):
                await launcher.take(recorded)

        tasks.append(asyncio.ensure_future(executions.log.consume("EXECUTION", durable, take, facts=ORDERS)))
    try:
        yield runtime
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


@pytest_asyncio.fixture(loop_scope="session")
async def start_launcher(
    executions: Executions, blob_settings: BlobSettings, tmp_path: Path
) -> Callable[..., contextlib.AbstractAsyncContextManager[ProcessRuntime]]:
    """Start a launcher in this process: a new one on the same folder is a restarted one."""
    durable = f"launcher-{uuid4().hex[:8]}"
    # Tests share the stream; what others ordered before is not this one's business.
    before = await executions.log.stream_sequence("EXECUTION")

    def start(
        consume: bool = True, warm: bool = False, **settings: Any
    ) -> contextlib.AbstractAsyncContextManager[ProcessRuntime]:
        # Loading flytekit takes seconds; tests of plain commands do without.
        preload: dict[str, Any] = {} if warm else {"preload": []}
        taken: Callable[[Recorded], bool] | None = (lambda recorded: recorded.sequence > before) if consume else None
        return _launching(executions, blob_settings, tmp_path / "tasks", durable, taken=taken, **(preload | settings))

    return start


@dataclass(frozen=True)
class WarmLauncher:
    """A launcher with a warm Python, the folder it works in, and whose turn it is.

    The orders behind the sequence in `turn` are for it; none, when there is none.
    """

    runtime: ProcessRuntime
    folder: Path
    turn: list[int]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _shared_launcher(
    executions: Executions, blob_settings: BlobSettings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WarmLauncher]:
    turn: list[int] = []
    folder, durable = tmp_path_factory.mktemp("warm") / "tasks", f"launcher-{uuid4().hex[:8]}"

    def taken(recorded: Recorded) -> bool:
        return bool(turn) and recorded.sequence > turn[0]

    async with _launching(executions, blob_settings, folder, durable, taken=taken) as runtime:
        yield WarmLauncher(runtime, folder, turn)


@pytest_asyncio.fixture(loop_scope="session")
async def warm_launcher(executions: Executions, _shared_launcher: WarmLauncher) -> AsyncIterator[WarmLauncher]:
    """A launcher with a warm Python, shared by the tests of a module that leave it as it is, or able to go on."""
    _shared_launcher.turn.append(await executions.log.stream_sequence("EXECUTION"))
    yield _shared_launcher
    _shared_launcher.turn.clear()
