"""flytekit tasks run by forks of a warm Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved

from .conftest import Executions, StartLauncher, integer, stages, text
