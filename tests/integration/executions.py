"""Waiting for the end of an execution as FlyteRemote does, for less."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from flytekit.models.core.execution import WorkflowExecutionPhase as Phase

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.03, 0.2
_FIRST_LOOK_SECONDS = 0.3
_ENDED = (Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT)


def ended(remote: Any, execution: Any, *, seconds: float = 120, nodes: bool = True) -> Any:
    """The execution when it has ended, with all its nodes unless told otherwise.

    `FlyteRemote.wait` reads everything there is of the execution at every look, which costs more than the execution
    itself. Here that is done now and then while it runs, and at its end; in between only its phase is asked for.
    """
    began = time.monotonic()
    look, pause = _FIRST_LOOK_SECONDS, _FIRST_PAUSE_SECONDS
    while remote.client.get_execution(execution.id).closure.phase not in _ENDED:
        lasted = time.monotonic() - began
        if lasted > seconds:
            break
        if nodes and lasted > look:
            remote.sync_execution(execution, sync_nodes=True)
            look = 3 * lasted
        time.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE_SECONDS)
    # Raises when it has not ended by now.
    return remote.wait(execution, timeout=timedelta(seconds=1), poll_interval=timedelta(seconds=0.1), sync_nodes=nodes)
