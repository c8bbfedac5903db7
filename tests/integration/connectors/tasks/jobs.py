"""Connectors of flytekit's own classes, for `pyflyte serve connector --modules jobs`.

A job does what its script says. All calls are written down in the folder of `JOBS`, and what a job has come to lies
there too, so both outlive this server.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from flyteidl.core.execution_pb2 import TaskExecution, TaskLog
from flytekit.extend.backend.base_connector import (
    AsyncConnectorBase,
    ConnectorRegistry,
    Resource,
    ResourceMeta,
    SyncConnectorBase,
)
from flytekit.models.literals import LiteralMap
from flytekit.models.task import TaskExecutionMetadata, TaskTemplate

FOLDER = Path(os.environ["JOBS"])
(FOLDER / "pid").write_text(str(os.getpid()))


def note(call: str, **what: Any) -> None:
    with (FOLDER / "calls").open("a") as calls:
        calls.write(json.dumps({"call": call, **what}) + "\n")


def looks(job: str) -> int:
    """How often the job was looked at before."""
    lines = [json.loads(line) for line in (FOLDER / "calls").read_text().splitlines()]
    return sum(line["call"] == "get" and line["meta"]["job"] == job for line in lines)


@dataclass
class JobMeta(ResourceMeta):
    job: str
    script: str


class Jobs(AsyncConnectorBase):
    name = "Jobs"

    def __init__(self, task_type: str, version: int = 0):
        super().__init__(task_type_name=task_type, task_type_version=version, metadata_type=JobMeta)

    def create(
        self,
        task_template: TaskTemplate,
        output_prefix: str,
        inputs: LiteralMap | None = None,
        task_execution_metadata: TaskExecutionMetadata | None = None,
        **kwargs: Any,
    ) -> JobMeta:
        script = inputs.literals["script"].scalar.primitive.string_value
        meta = JobMeta(job=uuid4().hex, script=script)
        about = task_execution_metadata.to_flyte_idl()
        note(
            "create",
            meta=asdict(meta),
            version=self.task_category.version,
            args=list(task_template.container.args) if task_template.container else [],
            output_prefix=output_prefix,
            namespace=about.namespace,
            labels=dict(about.labels),
            attempt=about.task_execution_id.retry_attempt,
            execution=about.task_execution_id.node_execution_id.execution_id.name,
        )
        if script == "cannot be created":
            raise ValueError("out of clusters")
        return meta

    def get(self, resource_meta: JobMeta, **kwargs: Any) -> Resource:
        before = looks(resource_meta.job)
        note("get", meta=asdict(resource_meta))
        match resource_meta.script:
            case "all phases":
                phases = [TaskExecution.QUEUED, TaskExecution.INITIALIZING, TaskExecution.RUNNING]
                if before < len(phases):
                    links = [TaskLog(name="Console", uri=f"https://jobs.example/{resource_meta.script}")]
                    return Resource(phases[before], message=f"look {before}", log_links=links)
                return Resource(TaskExecution.SUCCEEDED, outputs={"o0": "done"}, custom_info={"cluster": "west"})
            case "cannot be looked at":
                raise ValueError("the cluster's API is gone")
            case "fails":
                return Resource(TaskExecution.FAILED, message="bad query")
            case script:
                if not (FOLDER / script).exists():
                    return Resource(TaskExecution.RUNNING, message="waiting")
                return Resource(TaskExecution.SUCCEEDED, outputs={"o0": script})

    def delete(self, resource_meta: JobMeta, **kwargs: Any) -> None:
        note("delete", meta=asdict(resource_meta))


class Answers(SyncConnectorBase):
    name = "Answers"

    def __init__(self):
        super().__init__(task_type_name="flight_answer")

    def do(
        self, task_template: TaskTemplate, output_prefix: str, inputs: LiteralMap | None = None, **kwargs: Any
    ) -> Resource:
        script = inputs.literals["script"].scalar.primitive.string_value
        note("do", script=script, output_prefix=output_prefix)
        if script == "fails":
            return Resource(TaskExecution.FAILED, message="no such model")
        return Resource(TaskExecution.SUCCEEDED, outputs={"o0": f"answer to {script}"})


ConnectorRegistry.register(Jobs("flight_job"))
ConnectorRegistry.register(Jobs("flight_job", 1))
ConnectorRegistry.register(Jobs("flight_code"))
ConnectorRegistry.register(Answers())
