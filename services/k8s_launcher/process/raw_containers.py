"""Raw containers as processes: their data is copied to and from folders of the attempt.

A raw container expects its inputs in a folder such as `/var/inputs` and leaves its outputs in another one. On this
machine those would be everybody's, so the attempt has folders of its own, and where the task's command and variables
name the container's folders, they name these instead. A program that knows such a path by itself does not find it.

The copying is done around the program, in the attempt's own process: what runs goes on when the launcher ends, and its
outputs are collected all the same.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyteidl.core import tasks_pb2

from flightlog_blobs import BlobSettings
from services.k8s_launcher.copying import interfaces
from services.k8s_launcher.copying.programs import hidden_from_program
from services.k8s_launcher.task_templates import NotLaunchable
from services.k8s_launcher.templates import TemplateValues

# Isolated: the task's variables are for its program, and must not decide what this Python loads.
_START: Final = (
    "import os, runpy, sys; sys.path[:] = sys.argv.pop(1).split(os.pathsep); "
    "runpy.run_module('services.k8s_launcher.copying', run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True)
class RawContainer:
    """The folders of one attempt, and how its data is copied."""

    folders: Mapping[str, Path]
    """Folders of this machine, by the container's names for them."""
    arguments: tuple[str, ...]
    """Of the command that copies, before the program."""

    def relocated(self, text: str) -> str:
        """A text with the container's folders named as on this machine."""
        names = "|".join(re.escape(name) for name in sorted(self.folders, key=len, reverse=True))
        return re.sub(rf"(?<![\w./-])({names})(?![\w.-])", lambda match: str(self.folders[match.group(1)]), text)

    def around(
        self, argv: Sequence[str], environment: Mapping[str, str], blobs: BlobSettings
    ) -> tuple[list[str], dict[str, str]]:
        """The command and variables of a process that copies and runs the program, whose variables stay its own."""
        python = [sys.executable, "-I", "-c", _START, os.pathsep.join(entry for entry in sys.path if entry)]
        return [*python, *self.arguments, "--", *argv], hidden_from_program(_store_variables(blobs), environment)


def raw_container(template: tasks_pb2.TaskTemplate, values: TemplateValues, work: Path) -> RawContainer | None:
    """How the data of an attempt is copied that works in the folder `work`; None for tasks that do so themselves.

    Raises `NotLaunchable` for one whose data can never be copied.
    """
    config = interfaces.data_config(template)
    if config is None or not (interfaces.has_inputs(template) or interfaces.has_outputs(template)):
        return None
    refusal = interfaces.refusal(template, config)
    if refusal:
        raise NotLaunchable("BadTaskSpecification", refusal)
    input_path, output_path = interfaces.paths(config)
    inputs, outputs = work / "inputs", work / "outputs"
    arguments = (
        "run",
        *("--to-output-prefix", values.output_prefix),
        *("--to-raw-output", values.raw_output_prefix),
        *("--from-remote", values.input_uri if interfaces.has_inputs(template) else ""),
        *("--to-local-dir", str(inputs)),
        *("--from-local-dir", str(outputs)),
        *("--format", tasks_pb2.DataLoadingConfig.LiteralMapFormat.Name(config.format)),
        *("--input-interface", interfaces.encoded(template.interface.inputs)),
        *("--interface", interfaces.encoded(template.interface)),
    )
    # The same folder for both, where only one of them is used: that one.
    folders = {output_path: outputs, input_path: inputs}
    if not interfaces.has_inputs(template):
        folders[output_path] = outputs
    return RawContainer(folders, arguments)


def _store_variables(settings: BlobSettings) -> dict[str, str]:
    values = settings.model_dump(exclude_none=True) | {"secret_key": settings.secret_key.get_secret_value()}
    return {f"FLIGHTLOG_BLOBS__{name.upper()}": str(value) for name, value in values.items()}
