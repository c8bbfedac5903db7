"""Workflows of tasks that connectors run."""

from typing import Any

from flytekit import PythonFunctionTask, workflow
from flytekit.core.base_task import PythonTask, TaskMetadata
from flytekit.core.interface import Interface
from flytekit.extend import TaskPlugins
from flytekit.extend.backend.base_connector import AsyncConnectorExecutorMixin, SyncConnectorExecutorMixin

SCRIPTED = Interface(inputs={"script": str}, outputs={"o0": str})


class JobTask(AsyncConnectorExecutorMixin, PythonTask):
    def __init__(self, name: str, task_type: str = "flight_job", **kwargs: Any):
        super().__init__(task_type=task_type, name=name, task_config=None, interface=SCRIPTED, **kwargs)


class AnswerTask(SyncConnectorExecutorMixin, PythonTask):
    def __init__(self, name: str, **kwargs: Any):
        super().__init__(task_type="flight_answer", name=name, task_config=None, interface=SCRIPTED, **kwargs)


class Code:
    """Configuration of functions that are run elsewhere."""


class CodeTask(AsyncConnectorExecutorMixin, PythonFunctionTask[Code]):
    def __init__(self, task_config: Code, task_function: Any, **kwargs: Any):
        super().__init__(task_config=task_config, task_function=task_function, task_type="flight_code", **kwargs)


TaskPlugins.register_pythontask_plugin(Code, CodeTask)

job = JobTask("job")
newer_job = JobTask("newer_job", task_type_version=1)
retried_job = JobTask("retried_job", metadata=TaskMetadata(retries=1))
answer = AnswerTask("answer")
nobodys = JobTask("nobodys", task_type="nobodys_type")


@workflow
def with_job(script: str) -> str:
    return job(script=script)


@workflow
def with_newer_job(script: str) -> str:
    return newer_job(script=script)


@workflow
def with_retried_job(script: str) -> str:
    return retried_job(script=script)


@workflow
def with_answer(script: str) -> str:
    return answer(script=script)


@workflow
def with_nobodys(script: str) -> str:
    return nobodys(script=script)


def code(script: str) -> str:
    return script


coded = CodeTask(Code(), code)


@workflow
def with_code(script: str) -> str:
    return coded(script=script)
